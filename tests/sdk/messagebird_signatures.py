"""MessageBird's own Python library judges the `messagebird` carrier: requests it believes are accepted,
one byte changed is refused with 403, and it accepts what `sms-router simulate` sends.

It only verifies: tokens are made by PyJWT, which it verifies with, and it has to believe them before the
server is asked. The older signature is made of the library's own payload (`SignedRequest`).
Between the two stands the clock: the library allows 1 s after a token's end, the router 10 s.
"""

import base64
import hashlib
import hmac
import time
import urllib.parse
import warnings

import jwt
from messagebird.error import ValidationError
from messagebird.request_validator import RequestValidator
from messagebird.signed_request import SignedRequest

from court import FORM, SENDER, SOME, Push, accounts, flip, form, fresh_id, hold, refusal
from router import NUMBER, PUBLIC_URL
from texts import TEXTS

# The first is what `simulate` signs with.
OLD = "OLD-0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab"
NEW = "NEW-fedcba9876543210fedcba9876543210fedcba9876543210fedcba987654"
OTHER = "no-" + NEW
URLS = {
    "plain": f"{PUBLIC_URL}/inbound/plain",
    "port": "https://sms.example.gov.uk:8443/inbound/port",
    "moved": "https://council.example.org/elsewhere/behind%20a%20proxy",
}
LIFE_S = 60
# The library would have everybody move on to tokens; it still has the older signature.
warnings.filterwarnings("ignore", category=DeprecationWarning, module="messagebird|__main__")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def parameters(text):
    return {
        "id": fresh_id(), "recipient": NUMBER, "originator": SENDER.lstrip("+"), "body": text,
        "createdDatetime": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
    }


def address(push):
    return URLS[push.target] + (f"?{push.query}" if push.query else "")


def with_token(push, secret=NEW, algorithm="HS256", url=None, **more):
    now = int(time.time())
    claims = {
        "iss": "MessageBird", "nbf": now, "exp": now + LIFE_S, "jti": fresh_id(),
        "url_hash": sha256((url or address(push)).encode()),
        "payload_hash": sha256(push.body) if push.body else None, **more,
    }
    token = jwt.encode({name: value for name, value in claims.items() if value is not None}, secret, algorithm)
    return push.but(headers={**push.headers, "MessageBird-Signature-JWT": token})


def post(text, account="plain", query="", **how):
    return with_token(Push(account, form(parameters(text)), FORM, query), **how)


def get(text):
    return with_token(Push("plain", query=urllib.parse.urlencode(parameters(text)), method="GET"))


def believes(push, secret=NEW):
    with refusal(ValidationError):
        token = push.header("messagebird-signature-jwt")
        return RequestValidator(secret).validate_signature(token, address(push), push.body) is not None
    return False


def older(text, secret=NEW, at=None, **query):
    """The signature before tokens: time, sorted query, hash of the body."""
    at, body = str(at or int(time.time())), form(parameters(text))
    payload = SignedRequest("", at, body.decode(), query)._build_payload()
    mac = hmac.new(secret.encode(), payload.encode("latin-1"), hashlib.sha256).digest()
    return Push("plain", body, {
        **FORM, "MessageBird-Signature": base64.b64encode(mac).decode(), "MessageBird-Request-Timestamp": at,
    }, urllib.parse.urlencode(query))


def believes_older(push):
    found = [push.header(name) for name in ("messagebird-signature", "messagebird-request-timestamp")]
    request = SignedRequest(*found, push.body.decode(), dict(urllib.parse.parse_qsl(push.query)))
    return request.verify(NEW) and request.is_recent()


def accepted(court):
    for account in URLS:
        court.accepts_all(f"token at {account}", lambda text: post(text, account), believes=believes)
    short = [(text, department) for text, department in TEXTS if len(text) < 500]
    court.accepts_all("token, GET", get, short, believes=believes)
    for algorithm in ("HS384", "HS512"):
        court.accepts_all(algorithm, lambda text: post(text, algorithm=algorithm), SOME, believes=believes)
    court.accepts_all("older signature", older, believes=believes_older)
    court.accepts_all("older signature, query", lambda text: older(text, b="2", a="x y é"), SOME, believes=believes_older)
    court.accepts("the other key of a rotation", post("snow 1", secret=OLD), ("snow 1", "highways"))
    push = post("snow 2", query="b=2&a=x%20y&empty=")
    court.accepts("a query", push, ("snow 2", "highways"))


def refused(court):
    court.refuses_changed("token", post)
    court.refuses_changed("older signature", older, SOME)
    now = int(time.time())
    for what, how in {
        "another's key": {"secret": OTHER},
        "another issuer": {"iss": "Somebody"},
        "no issuer": {"iss": None},
        "no hash of the body": {"payload_hash": None},
        "no hash of the URL": {"url_hash": None},
        "the hash of another URL": {"url": URLS["port"]},
        "over": {"nbf": now - 10 * LIFE_S, "exp": now - 9 * LIFE_S},
        "not yet": {"nbf": now + 9 * LIFE_S, "exp": now + 10 * LIFE_S},
    }.items():
        court.refuses(f"token: {what}", post("snow, refused", **how))
    push = post("snow, refused")
    court.refuses("token: a query that was not signed", push.but(query="x=1"))
    court.refuses("token: a signed query that is not there", post("snow, refused", query="x=1").but(query=""))
    court.refuses("token: none", push.with_headers(messagebird_signature_jwt=None))
    unsigned = jwt.encode({"iss": "MessageBird", "url_hash": sha256(address(push).encode())}, None, "none")
    court.refuses("token: signed by nobody", push.with_headers(messagebird_signature_jwt=unsigned))
    token = push.header("messagebird-signature-jwt").encode()
    # The first letter of the signature: of the last one, some bits are padding.
    changed = push.with_headers(messagebird_signature_jwt=flip(token, token.rindex(b".") + 1).decode())
    court.refuses("token: a letter changed", changed)
    court.verdicts.equal("the library refuses that too", believes(changed), False)
    question = get("snow, refused")
    court.refuses("token, GET: a parameter changed", question.but(query=question.query.replace("refused", "refuse0")))
    push = older("snow, refused")
    court.refuses("older: another time", push.with_headers(messagebird_request_timestamp=str(now + 2)))
    court.refuses("older: no time", push.with_headers(messagebird_request_timestamp=None))
    court.refuses("older: another's key", older("snow, refused", secret=OTHER))
    court.refuses("older: long ago", older("snow, refused", at=now - LIFE_S))
    court.refuses("older: a query changed", older("snow, refused", x="1").but(query="x=2"))


def simulated(court):
    def judged(push):
        return dict(push.pairs())["body"] if believes(push, OLD) else None

    for account in URLS:
        court.simulates(account, judged, TEXTS if account == "plain" else SOME)


if __name__ == "__main__":
    settings = accounts("messagebird", {name: {"url": url} for name, url in URLS.items()})
    hold(settings, {"old": OLD, "new": NEW}, accepted, refused, simulated)
