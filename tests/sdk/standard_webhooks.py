"""PyPI's `standardwebhooks` judges the `generic` carrier: what it signs is accepted, one byte
changed is refused with 403, and it accepts what `sms-router simulate` sends.
"""

import base64
import datetime
import json

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from court import JSON, Push, accounts, fresh_id, hold, refusal
from router import NUMBER

# The first is what `simulate` signs with.
OLD = "whsec_" + base64.b64encode(bytes(range(24))).decode()
NEW = "whsec_" + base64.b64encode(bytes(range(100, 164))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(50, 82))).decode()


def now(offset_s=0):
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset_s)


def event(text, escaped=False):
    """The body's text as a carrier would write it; `escaped` writes \\u escapes instead of UTF-8."""
    data = {"id": fresh_id(), "from": "+447700900123", "to": NUMBER, "text": text}
    body = {"type": "sms.received", "timestamp": now().isoformat().replace("+00:00", "Z"), "data": data}
    return json.dumps(body, ensure_ascii=escaped)


def signed(body, secret=NEW, at=None):
    at, delivery = at or now(), fresh_id()
    return Push("judge", body.encode(), {
        **JSON, "webhook-id": delivery, "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(delivery, at, body),
    })


def accepted(court):
    for escaped in (False, True):
        court.accepts_all(f"escaped={escaped}", lambda text: signed(event(text, escaped)))

    def on(what, text, push):
        court.accepts(what, push, (text, "highways"))

    on("the other secret of a rotation", "snow, old secret", signed(event("snow, old secret"), OLD))
    push = signed(event("snow, several"))
    several = signed("{}", OTHER).header("webhook-signature") + " v1a,AAAA " + push.header("webhook-signature")
    on("several signatures, one good", "snow, several", push.with_headers(webhook_signature=several))
    for offset in (-240, 240):
        text = f"snow {offset} s away"
        on(text, text, signed(event(text), at=now(offset)))
    batch = {"type": "sms.received", "data": [
        {"id": f"batch-{n}", "from": "+447700900124", "to": NUMBER, "text": f"snow {n}"} for n in range(3)]}
    court.accepts("an array of data", signed(json.dumps(batch)), *[(f"snow {n}", "highways") for n in range(3)])


def refused(court):
    court.refuses_changed("a byte changed", lambda text: signed(event(text)))
    push = signed(event("snow, refused"))
    signature, at = push.header("webhook-signature"), push.header("webhook-timestamp")
    for what, headers in {
        "another id": {"webhook_id": "msg_other"},
        "another time": {"webhook_timestamp": str(int(at) + 1)},
        "a time that is none": {"webhook_timestamp": "yesterday"},
        "another version": {"webhook_signature": "v2" + signature[2:]},
        "a signature changed": {"webhook_signature": "v1," + ("B" if signature[3] == "A" else "A") + signature[4:]},
        "a signature cut": {"webhook_signature": signature[:-8]},
        "a signature that is none": {"webhook_signature": "v1,!!!!"},
        "no id": {"webhook_id": None},
        "no time": {"webhook_timestamp": None},
        "no signature": {"webhook_signature": None},
    }.items():
        court.refuses(what, push.with_headers(**headers))
    court.refuses("a byte added", push.but(body=push.body + b" "))
    court.refuses("a byte missing", push.but(body=push.body[:-1]))
    court.refuses("another's secret", signed(event("snow, refused"), OTHER))
    for offset in (-330, -86_400, 330, 86_400):
        court.refuses(f"signed {offset} s away", signed(event("snow, refused"), at=now(offset)))


def simulated(court):
    def judged(push):
        with refusal(WebhookVerificationError):
            return Webhook(OLD).verify(push.body, push.headers)["data"]["text"]
        return None

    court.simulates("judge", judged)


if __name__ == "__main__":
    hold(accounts("generic", {"judge": {}}), {"old": OLD, "new": NEW}, accepted, refused, simulated)
