"""Sinch's own Python library judges the `sinch` carrier, the SMS API and the Conversation API: requests it
signs are accepted, one byte changed is refused with 403, and it accepts what `sms-router simulate` sends.

The library verifies with functions of its own that sign as well; they sign here. The bodies are
written, and what is simulated is read, by its own models. It does not look at the header that names the
algorithm, which Sinch sends and its Java library asks for: without it the router refuses.
"""

import datetime
import json
import time

from sinch.domains.authentication.sinch_events.v1.authentication_validation import (
    calculate_sinch_event_signature,
    compute_signed_data,
)
from sinch.domains.conversation.models.v1.sinch_events import MessageInboundEvent
from sinch.domains.conversation.sinch_events.v1.conversation_sinch_event import ConversationSinchEvent
from sinch.domains.sms.models.v1.shared.mo_text_message import MOTextMessage
from sinch.domains.sms.sinch_events.v1.sms_sinch_event import SmsSinchEvent

from court import JSON, SENDER, SOME, Push, accounts, flip, fresh_id, hold, other, refusal
from router import NUMBER

# The first is what `simulate` signs with.
OLD = "OLD0123456789abcdef0123456789abcdef"
NEW = "NEWfedcba9876543210fedcba9876543210"
OTHER = "no" + NEW
NONCE = "01FJA8B4A7BM43YGWSG9GBV067"


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat()


def written(model):
    return model.model_dump_json(by_alias=True, exclude_none=True)


def sms(text):
    return written(MOTextMessage.model_validate({
        "id": fresh_id(), "type": "mo_text", "from": SENDER.lstrip("+"), "to": NUMBER, "body": text,
        "received_at": now(), "sent_at": now(), "operator_id": "23410",
    }))


def conversation(text):
    return written(MessageInboundEvent.model_validate({
        "app_id": "app", "project_id": "project", "accepted_time": now(), "event_time": now(), "message": {
            "id": fresh_id(), "direction": "TO_APP", "contact_message": {"text_message": {"text": text}},
            "channel_identity": {"channel": "SMS", "identity": SENDER.lstrip("+"), "app_id": "app"},
            "conversation_id": "conversation", "contact_id": "contact", "sender_id": NUMBER, "accept_time": now(),
        }}))


def escaped(write):
    """The same, its letters beyond ASCII as JSON's escapes."""
    return lambda text: json.dumps(json.loads(write(text)))


def signed(content, secret=NEW, nonce=NONCE, at=None):
    at = at or str(int(time.time()))
    signature = calculate_sinch_event_signature(compute_signed_data(content, nonce, at), secret)
    return Push("judge", content.encode(), {
        **JSON, "x-sinch-webhook-signature": signature, "x-sinch-webhook-signature-nonce": nonce,
        "x-sinch-webhook-signature-timestamp": at, "x-sinch-webhook-signature-algorithm": "HmacSHA256",
    })


def believes(push, secret=NEW, handler=SmsSinchEvent):
    with refusal():
        return handler(secret).validate_authentication_header(push.headers, push.body)
    return False


def believes_conversation(push):
    return believes(push, handler=ConversationSinchEvent)


def accepted(court):
    for what, write, believed in (
        ("SMS", sms, believes), ("SMS, escaped", escaped(sms), believes),
        ("Conversation", conversation, believes_conversation),
        ("Conversation, escaped", escaped(conversation), believes_conversation),
    ):
        court.accepts_all(what, lambda text: signed(write(text)), believes=believed)
    court.accepts("the other secret of a rotation", signed(sms("snow, old"), OLD), ("snow, old", "highways"))
    # Sinch tries for 22 h 45 min, and the library looks at no clock.
    late = signed(sms("snow, late"), at=str(int(time.time()) - 80_000))
    court.accepts("a late retry", late, ("snow, late", "highways"))


def refused(court):
    court.refuses_changed("SMS", lambda text: signed(sms(text)))
    court.refuses_changed("Conversation", lambda text: signed(conversation(text)), SOME)
    push = signed(sms("snow, refused"))
    signature = push.header("x-sinch-webhook-signature")
    for what, headers in {
        "another time": {"x_sinch_webhook_signature_timestamp": other(push.header("x-sinch-webhook-signature-timestamp"))},
        "another nonce": {"x_sinch_webhook_signature_nonce": other(NONCE)},
        "no time": {"x_sinch_webhook_signature_timestamp": None},
        "no nonce": {"x_sinch_webhook_signature_nonce": None},
        "a letter of the signature": {"x_sinch_webhook_signature": flip(signature.encode(), 20).decode()},
        "a signature cut": {"x_sinch_webhook_signature": signature[:-4]},
        "a signature that is none": {"x_sinch_webhook_signature": "!!!!"},
        "no signature": {"x_sinch_webhook_signature": None},
    }.items():
        changed = push.with_headers(**headers)
        court.verdicts.equal(f"the library refuses {what}", believes(changed), False)
        court.refuses(what, changed)
    court.refuses("no algorithm", push.with_headers(x_sinch_webhook_signature_algorithm=None))
    court.refuses("another algorithm", push.with_headers(x_sinch_webhook_signature_algorithm="none"))
    court.refuses("a byte added", push.but(body=push.body + b" "))
    court.refuses("another's secret", signed(sms("snow, refused"), OTHER))


def simulated(court):
    def judged(push):
        handler = SmsSinchEvent(OLD)
        return handler.parse_event(push.body, push.headers).body if believes(push, OLD) else None

    court.simulates("judge", judged)


if __name__ == "__main__":
    hold(accounts("sinch", {"judge": {}}), {"old": OLD, "new": NEW}, accepted, refused, simulated)
