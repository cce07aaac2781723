"""PyPI's `standardwebhooks` judges the `generic` carrier: what it signs is accepted, one byte
changed is refused with 403, and it accepts what `sms-router simulate` sends.
"""

import base64
import collections
import datetime
import json

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from router import NUMBER, PUBLIC_URL, Receiver, Router, Verdicts
from texts import TEXTS

PATH = "/inbound/judge"
OLD = "whsec_" + base64.b64encode(bytes(range(24))).decode()
NEW = "whsec_" + base64.b64encode(bytes(range(100, 164))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(50, 82))).decode()
ACCOUNT = """
[accounts.judge]
carrier = "generic"
secrets = [{ file = "secrets/old" }, { file = "secrets/new" }]
[accounts.receiver]
carrier = "generic"
secrets = [{ file = "secrets/new" }]
"""
count = 0


def now(offset_s=0):
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset_s)


def event(text, escaped=False, **more):
    """The body's text as a carrier would write it; `escaped` writes \\u escapes instead of UTF-8."""
    global count
    count += 1
    data = {"id": f"judge-{count}", "from": "+447700900123", "to": NUMBER, "text": text, **more}
    body = {"type": "sms.received", "timestamp": now().isoformat().replace("+00:00", "Z"), "data": data}
    return json.dumps(body, ensure_ascii=escaped)


def signed(body, secret=NEW, at=None, delivery=None):
    at = at or now()
    delivery = delivery or f"msg_{count}"
    return {
        "Content-Type": "application/json",
        "webhook-id": delivery,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(delivery, at, body),
    }


def changed(headers, **more):
    """Headers with some replaced (None: left out); `_` stands for `-`."""
    result = {**headers, **{name.replace("_", "-"): value for name, value in more.items()}}
    return {name: value for name, value in result.items() if value is not None}


def flip(data, position):
    """One byte, one bit: still a byte that HTTP carries."""
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1:]


def accepts(router, verdicts):
    sent = collections.Counter()

    def check(what, body, headers, *arrive):
        verdicts.equal(what, router.post(PATH, body.encode(), headers), 200)
        sent.update(arrive)

    for text, department in TEXTS:
        for escaped in (False, True):
            body = event(text, escaped)
            check(f"signed {text[:30]!r} escaped={escaped}", body, signed(body), (department, text))
    body = event("snow, old secret")
    check("the other secret of a rotation", body, signed(body, OLD), ("highways", "snow, old secret"))
    body = event("snow, several")
    both = signed(body, OTHER)["webhook-signature"] + " v1a,AAAA " + signed(body)["webhook-signature"]
    check("several signatures, one good", body, changed(signed(body), webhook_signature=both), ("highways", "snow, several"))
    for offset in (-240, 240):
        text = f"snow {offset} s away"
        body = event(text)
        check(text, body, signed(body, at=now(offset)), ("highways", text))
    batch = {"type": "sms.received", "data": [
        {"id": f"batch-{n}", "from": "+447700900124", "to": NUMBER, "text": f"snow {n}"} for n in range(3)]}
    body = json.dumps(batch)
    check("an array of data", body, signed(body, delivery="msg_batch"), *[("highways", f"snow {n}") for n in range(3)])
    return sent


def refuses(router, verdicts):
    def check(what, body, headers):
        verdicts.equal(what, router.post(PATH, body, headers), 403)

    for text, _ in TEXTS:
        body = event(text)
        raw, headers = body.encode(), signed(body)
        # Every kind of place: the first byte, one in the middle, the last.
        for position in (0, len(raw) // 2, len(raw) - 1):
            check(f"byte {position} of {text[:30]!r} changed", flip(raw, position), headers)
    body = event("snow, refused")
    raw, headers = body.encode(), signed(body)
    signature = headers["webhook-signature"]
    check("a byte added", raw + b" ", headers)
    check("a byte missing", raw[:-1], headers)
    check("another id", raw, changed(headers, webhook_id="msg_other"))
    check("another time", raw, changed(headers, webhook_timestamp=str(int(headers["webhook-timestamp"]) + 1)))
    check("another version", raw, changed(headers, webhook_signature="v2" + signature[2:]))
    check("a signature changed", raw, changed(headers, webhook_signature="v1," + ("B" if signature[3] == "A" else "A") + signature[4:]))
    check("a signature cut", raw, changed(headers, webhook_signature=signature[:-8]))
    check("a signature that is none", raw, changed(headers, webhook_signature="v1,!!!!"))
    check("another's secret", raw, signed(body, OTHER))
    for name in ("webhook_id", "webhook_timestamp", "webhook_signature"):
        check(f"without {name}", raw, changed(headers, **{name: None}))
    check("a time that is none", raw, changed(headers, webhook_timestamp="yesterday"))
    for offset in (-330, -86_400, 330, 86_400):
        check(f"signed {offset} s away", raw, signed(body, at=now(offset)))


def simulate_is_accepted(router, verdicts):
    with Receiver() as receiver:
        for text, _ in TEXTS:
            receiver.received.clear()
            run = router.simulate("receiver", receiver.url, "+447700900123", text)
            verdicts.equal(f"simulate {text[:30]!r} ends well", (run.returncode, len(receiver.received)), (0, 1))
            for _, _, headers, body in receiver.received:
                verdicts.equal(f"the library accepts {text[:30]!r}", judged(body, headers), text)
                verdicts.equal("and refuses it with a byte changed", judged(flip(body, len(body) // 2), headers), None)


def judged(body, headers):
    """The text, if the library accepts the signature."""
    try:
        return Webhook(NEW).verify(body, headers)["data"]["text"]
    except (WebhookVerificationError, UnicodeDecodeError):
        return None


def main():
    verdicts = Verdicts()
    with Router(ACCOUNT, {"old": OLD, "new": NEW}) as router:
        sent = accepts(router, verdicts)
        refuses(router, verdicts)
        simulate_is_accepted(router, verdicts)
        verdicts.equal("what was accepted, and nothing else, is in the feeds", collections.Counter(router.texts()) - sent, {})
        verdicts.equal("all that was accepted is in the feeds", sent - collections.Counter(router.texts()), {})
    verdicts.end()


if __name__ == "__main__":
    main()
