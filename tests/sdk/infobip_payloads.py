"""Infobip's own Python library judges the `infobip` carrier: the bodies that its models write are
accepted, and they read what `sms-router simulate` sends.

The library has no way to verify or sign a webhook (its `auth` is a secret in the path here), so there is
no verdict on signatures, and none that it refuses what was changed. The models are those of the report
that the API's inbound messages come in, `SmsInboundMessageResult`, which is also what is pushed. Their own
`to_json` cannot write a time (it ends in a TypeError), so the bodies are written by the library's client,
which escapes what is not ASCII, and by pydantic, which does not.
"""

import datetime
import json

from infobip_api_client.api_client import ApiClient
from infobip_api_client.models import MessagePrice, SmsInboundMessage, SmsInboundMessageResult

from court import JSON, SENDER, Push, accounts, fresh_id, hold, other
from router import NUMBER
from texts import TEXTS

# The first is what `simulate` sends.
OLD = "OLD-path-secret-of-the-tests"
NEW = "NEW-path-secret-of-the-tests"


def message(text, **more):
    first, _, rest = text.partition(" ")
    return SmsInboundMessage(**{
        "message_id": fresh_id(), "var_from": SENDER.lstrip("+"), "to": NUMBER, "text": text, "clean_text": rest,
        "keyword": first, "received_at": datetime.datetime.now(datetime.timezone.utc), "sms_count": 1,
        "price": MessagePrice(price_per_message=0.0, currency="GBP"), "callback_data": "", **more,
    })


def report(*texts, **more):
    messages = [message(text, **more) for text in texts]
    return SmsInboundMessageResult(results=messages, message_count=len(messages), pending_message_count=0)


def by_client(model):
    return json.dumps(ApiClient().sanitize_for_serialization(model))


def by_pydantic(model):
    return model.model_dump_json(by_alias=True, exclude_none=True)


def push(content, secret=NEW):
    return Push(f"judge/{secret}", content.encode(), JSON)


def accepted(court):
    for what, write in {"client": by_client, "pydantic": by_pydantic}.items():
        court.accepts_all(what, lambda text: push(write(report(text))))
    court.accepts_all("to_json, without a time", lambda text: push(report(text, received_at=None).to_json()))
    court.accepts("a batch of every text", push(by_client(report(*(text for text, _ in TEXTS)))), *TEXTS)
    court.accepts("the other secret of a rotation", push(by_client(report("snow, old")), OLD), ("snow, old", "highways"))
    court.accepts("an empty report", push(by_client(report())))


def refused(court):
    content = by_client(report("snow, refused"))
    for what, secret in {
        "a letter changed": other(NEW), "a letter more": NEW + "x", "a letter less": NEW[:-1],
        "another case": NEW.lower(),
    }.items():
        court.refuses(f"the path's secret: {what}", push(content, secret))
    court.refuses("no secret", Push("judge", content.encode(), JSON))


def simulated(court):
    def judged(found):
        results = SmsInboundMessageResult.from_json(found.body.decode()).results
        (one,) = results
        complete = one.message_id and one.received_at and (one.var_from, one.to) == (SENDER, NUMBER)
        return one.text if complete else None

    court.simulates("judge", judged, change=None)


if __name__ == "__main__":
    print("Infobip's library signs and verifies no webhook: payloads alone are judged.")
    hold(accounts("infobip", {"judge": {}}), {"old": OLD, "new": NEW}, accepted, refused, simulated)
