"""Requests as a carrier of the `generic` kind makes them; PyPI's `standardwebhooks` signs.

Also the part that schemathesis loads: what it sends to the inbound listener is signed, over the bytes
that leave, so that it is read and not only refused.
"""

import base64
import contextlib
import datetime
import itertools
import json
import os

import requests.auth
from standardwebhooks.webhooks import Webhook

SECRET = "whsec_" + base64.b64encode(bytes(range(24))).decode()
_numbers = itertools.count(1)


def headers(body, secret=SECRET):
    """Those that prove it; `body` is text."""
    at, delivery = datetime.datetime.now(datetime.timezone.utc), f"delivery-{next(_numbers)}"
    return {
        "content-type": "application/json", "webhook-id": delivery, "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(delivery, at, body),
    }


def event(*texts):
    """The body of one request with these texts."""
    return json.dumps({"type": "sms.received", "timestamp": "2026-11-21T10:00:00Z", "data": list(texts)})


class Signed(requests.auth.AuthBase):
    def __call__(self, request):
        body = request.body or ""
        with contextlib.suppress(UnicodeDecodeError):
            signature = headers(body.decode() if isinstance(body, bytes) else body)
            del signature["content-type"]
            request.headers.update(signature)
        # The library signs text only; bytes that are none go out unproven, and are refused.
        return request


def without_points(value):
    """To JSON Schema 2.0 is an integer. Nobody writes one so, and the router does not take it for one."""
    if isinstance(value, dict):
        return {name: without_points(child) for name, child in value.items()}
    if isinstance(value, list):
        return [without_points(child) for child in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


if "SCHEMATHESIS_HOOKS" in os.environ:
    import schemathesis

    schemathesis.auth.set_from_requests(Signed())

    @schemathesis.hook
    def map_body(_context, body):
        return without_points(body)
