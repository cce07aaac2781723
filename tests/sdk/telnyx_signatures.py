"""Telnyx's own Python library judges the `telnyx` carrier: requests it believes are accepted, one byte
changed is refused with 403, and it accepts what `sms-router simulate` signs with a private key.

It only verifies: PyNaCl signs, which it verifies with, and it has to believe the request before the
server is asked. The bodies are written, and what is simulated is read, by the library's own models.
The older HMAC signature (V1) is no longer in the library and not judged here.
"""

import base64
import json
import time

from nacl.signing import SigningKey
from telnyx import Telnyx
from telnyx.lib.webhook_verification import WebhookVerificationError
from telnyx.types.inbound_message_webhook_event import InboundMessageWebhookEvent

from court import JSON, SENDER, Push, accounts, flip, fresh_id, hold, other, refusal
from router import NUMBER

OLD, NEW, OTHER = (SigningKey(bytes(range(first, first + 32))) for first in (0, 32, 64))


def public(key):
    return base64.b64encode(key.verify_key.encode()).decode()


def body(text, escaped=False):
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000+00:00", time.gmtime())
    event = InboundMessageWebhookEvent.model_validate({"data": {
        "record_type": "event", "event_type": "message.received", "id": fresh_id(), "occurred_at": now, "payload": {
            "record_type": "message", "direction": "inbound", "id": fresh_id(), "type": "SMS",
            "from": {"phone_number": SENDER, "carrier": "", "line_type": "Wireless", "status": "received"},
            "to": [{"phone_number": NUMBER, "status": "webhook_delivered"}], "cc": [], "media": [],
            "text": text, "encoding": "UCS-2", "parts": 1, "received_at": now, "errors": [],
        }}})
    written = event.to_json(indent=None)
    return (json.dumps(json.loads(written)) if escaped else written).encode()


def signed(content, key=NEW, offset_s=0):
    at = str(int(time.time()) + offset_s)
    signature = base64.b64encode(key.sign(at.encode() + b"|" + content).signature).decode()
    return Push("judge", content, {**JSON, "Telnyx-Signature-Ed25519": signature, "Telnyx-Timestamp": at})


def judged(push, key=OLD):
    with refusal(WebhookVerificationError):
        client = Telnyx(api_key="key", public_key=public(key))
        return client.webhooks.unwrap(push.body.decode(), headers=push.headers).data.payload.text
    return None


def believes(push):
    return judged(push, NEW) is not None


def accepted(court):
    for escaped in (False, True):
        court.accepts_all(f"escaped={escaped}", lambda text: signed(body(text, escaped)), believes=believes)
    court.accepts("the other key of a rotation", signed(body("snow, old"), OLD), ("snow, old", "highways"))
    for offset_s in (-240, 240):
        text = f"snow {offset_s} s away"
        court.accepts(text, signed(body(text), offset_s=offset_s), (text, "highways"))


def refused(court):
    court.refuses_changed("a byte changed", lambda text: signed(body(text)))
    push = signed(body("snow, refused"))
    signature, at = push.header("telnyx-signature-ed25519"), push.header("telnyx-timestamp")
    for what, headers in {
        "another time": {"telnyx_timestamp": other(at)},
        "a time that is none": {"telnyx_timestamp": "yesterday"},
        "no time": {"telnyx_timestamp": None},
        "a letter of the signature": {"telnyx_signature_ed25519": flip(signature.encode(), 40).decode()},
        "a signature cut": {"telnyx_signature_ed25519": signature[:-4]},
        "a signature that is none": {"telnyx_signature_ed25519": "!!!!"},
        "no signature": {"telnyx_signature_ed25519": None},
    }.items():
        changed = push.with_headers(**headers)
        court.verdicts.equal(f"the library refuses {what}", judged(changed, NEW), None)
        court.refuses(what, changed)
    court.refuses("a byte added", push.but(body=push.body + b" "))
    court.refuses("another's key", signed(push.body, OTHER))
    for offset_s in (-330, -86_400, 330, 86_400):
        late = signed(push.body, offset_s=offset_s)
        court.verdicts.equal(f"the library refuses {offset_s} s", judged(late, NEW), None)
        court.refuses(f"signed {offset_s} s away", late)


def simulated(court):
    court.simulates("judge", judged, options=["--signing-key", court.router.secret("signing-key")])


if __name__ == "__main__":
    seed = base64.b64encode(OLD.encode()).decode()
    secrets = {"old": public(OLD), "new": public(NEW), "signing-key": seed}
    hold(accounts("telnyx", {"judge": {}}), secrets, accepted, refused, simulated)
