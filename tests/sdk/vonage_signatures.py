"""Vonage's own Python libraries judge the `vonage` carrier: requests they sign are accepted, one byte
changed is refused with 403, and they accept what `sms-router simulate` sends.

The SMS API's HMACs are judged by `vonage-http-client`. Its `signature_method=None`, documented as the
plain MD5 hash that is Vonage's default, ends in a TypeError; so that one is judged by its predecessor,
`nexmo`. The Messages API's tokens are made by PyJWT, which `vonage-jwt` itself verifies with: that has
no way to make a token of HS256, and asks neither for the hash of the body nor for the time.
Neither library cleans `&` and `=` out of names; Vonage's own names have none.
"""

import hashlib
import json
import time
import urllib.parse

import jwt
import nexmo
from vonage_http_client.auth import Auth
from vonage_jwt import VonageVerifyJwtError, verify_signature

from court import FORM, JSON, SENDER, SOME, Push, accounts, altered, flip, form, fresh_id, hold, refusal
from router import NUMBER
from texts import TEXTS

# The first is what `simulate` signs with.
OLD = "OLD-0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab"
NEW = "NEW-fedcba9876543210fedcba9876543210fedcba9876543210fedcba987654"
OTHER = "no-" + NEW
METHODS = ["md5hash", "md5", "sha1", "sha256", "sha512"]
DAY_S = 86_400
WIRES = ["form", "query", "json", "json, escaped"]


class Plain:
    """The MD5 hash, by the library's predecessor."""

    def __init__(self, secret):
        self.client = nexmo.Client(key="key", secret="secret", signature_secret=secret)

    def sign_params(self, values):
        return self.client.signature(values)

    def check_signature(self, values):
        return self.client.check_signature(values)


def library(method, secret):
    if method == "md5hash":
        return Plain(secret)
    return Auth(api_key="key", signature_secret=secret, signature_method=method)


def parameters(text, **more):
    return {
        "msisdn": SENDER.lstrip("+"), "to": NUMBER, "messageId": fresh_id(), "text": text, "type": "unicode",
        "keyword": text.split()[0].upper(), "api-key": "abcd1234",
        "message-timestamp": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()), **more,
    }


def signed(text, method, secret=NEW, **more):
    """The library writes the time into the parameters."""
    values = parameters(text, **more)
    signature = library(method, secret).sign_params(values)
    return {**values, "sig": signature}


def on_wire(values, account, wire="form"):
    if wire == "form":
        return Push(account, form(values), FORM)
    if wire == "query":
        return Push(account, query=urllib.parse.urlencode(values), method="GET")
    return Push(account, json.dumps(values, ensure_ascii=wire == "json, escaped").encode(), JSON)


def sms_accepted(court):
    for method in METHODS:
        for wire in WIRES:
            # A query has a line's length to fit in.
            texts = [(text, department) for text, department in TEXTS if wire != "query" or len(text) < 500]
            court.accepts_all(f"{method}, {wire}", lambda text: on_wire(signed(text, method), method, wire), texts)

        def on(what, text, **more):
            push = on_wire(signed(text, method, **more), method)
            court.accepts(f"{method}: {what}", push, (text, "highways"))

        on("the other secret of a rotation", f"snow, {method}, old", secret=OLD)
        on("an empty parameter", f"snow, {method}, empty", empty="")
        on("a parameter nobody knows", f"snow, {method}, unknown", **{"Zukunft-é": "& = + %41 雪"})
        on("a retry a day later", f"snow, {method}, late", timestamp=str(int(time.time()) - DAY_S))
        on("a nonce", f"snow, {method}, nonce", nonce="aaaaaaaa-bbbb-cccc-dddd-0123456789ab")


def sms_refused(court):
    for method in METHODS:
        make = lambda text: on_wire(signed(text, method), method)
        court.refuses_changed(f"{method}, form", make, SOME)
        court.refuses_changed(f"{method}, json", lambda text: on_wire(signed(text, method), method, "json"), SOME)
        values = signed("snow, refused", method)

        def changed(what, **more):
            found = {name: value for name, value in {**values, **more}.items() if value is not None}
            court.refuses(f"{method}: {what}", on_wire(found, method))

        for name in ("text", "msisdn", "to", "messageId", "sig"):
            pairs = altered(list(values.items()), name)
            court.refuses(f"{method}: {name} changed", on_wire(dict(pairs), method))
            court.refuses(f"{method}: {name} changed, GET", on_wire(dict(pairs), method, "query"))
        changed("another time", timestamp=values["timestamp"] + 1)
        changed("no signature", sig=None)
        changed("an empty signature", sig="")
        changed("a signature cut", sig=values["sig"][:-2])
        changed("a signature that is none", sig="none")
        changed("a parameter added", extra="1")
        changed("a parameter missing", keyword=None)
        changed("another's secret", sig=signed("snow, refused", method, OTHER)["sig"])
        for hours in (-26, 26):
            at = str(int(time.time()) + hours * 3600)
            court.refuses(f"{method}: {hours} h away", on_wire(signed("snow", method, timestamp=at), method))
        for account in METHODS:
            if account != method:
                court.refuses(f"{method} where {account} is set", on_wire(values, account))


def token(body, secret=NEW, algorithm="HS256", **more):
    claims = {
        "iat": int(time.time()), "jti": fresh_id(), "iss": "Vonage", "api_key": "abcd1234", "application_id": "app",
        "payload_hash": hashlib.sha256(body).hexdigest(), **more,
    }
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, secret, algorithm)


def message(text, **how):
    """A callback of the Messages API."""
    body = json.dumps({
        "channel": "sms", "message_uuid": fresh_id(), "to": NUMBER, "from": SENDER.lstrip("+"),
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "message_type": "text", "text": text,
        "sms": {"num_messages": "1", "keyword": "SNOW"}, "usage": {"currency": "EUR", "price": "0.0"},
    }, ensure_ascii=False).encode()
    return Push("sha256", body, {**JSON, "Authorization": f"Bearer {token(body, **how)}"})


def believes(push, secret=NEW):
    with refusal(VonageVerifyJwtError):
        return verify_signature(push.header("authorization").removeprefix("Bearer "), secret)
    return False


def messages(court):
    court.accepts_all("Messages API", message, believes=believes)
    court.accepts("Messages API: old secret", message("snow, old token", secret=OLD), ("snow, old token", "highways"))
    court.refuses_changed("Messages API", message, SOME)
    for what, how in {
        "another's secret": {"secret": OTHER},
        "no hash of the body": {"payload_hash": None},
        "the hash of another body": {"payload_hash": hashlib.sha256(b"{}").hexdigest()},
        "issued two days ago": {"iat": int(time.time()) - 2 * DAY_S},
        "no time of issue": {"iat": None},
        "an algorithm Vonage does not use": {"algorithm": "HS512"},
    }.items():
        court.refuses(f"Messages API: {what}", message("snow, refused", **how))
    push = message("snow, refused")
    unsigned = jwt.encode({"payload_hash": hashlib.sha256(push.body).hexdigest()}, None, "none")
    court.refuses("Messages API: signed by nobody", push.with_headers(authorization=f"Bearer {unsigned}"))
    # Vonage advises 5xx here: a few of its true callbacks come so, and come again.
    court.refuses("Messages API: no token", push.with_headers(authorization=None), status=503)
    header = push.header("authorization").encode()
    # The first letter of the signature: of the last one, some bits are padding.
    changed = flip(header, header.rindex(b".") + 1).decode()
    court.refuses("Messages API: a letter of the token changed", push.with_headers(authorization=changed))
    court.verdicts.equal("the library refuses that too", believes(push.with_headers(authorization=changed)), False)


def simulated(court):
    for method in METHODS:
        def judged(push):
            values = dict(push.pairs())
            return values["text"] if library(method, OLD).check_signature(dict(values)) else None

        court.simulates(method, judged, TEXTS if method == "md5hash" else SOME)


if __name__ == "__main__":
    settings = accounts("vonage", {method: {"signature_method": method} for method in METHODS})
    hold(settings, {"old": OLD, "new": NEW}, sms_accepted, sms_refused, messages, simulated)
