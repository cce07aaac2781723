"""Plivo's own Python library judges the `plivo` carrier: requests it signs are accepted, one byte
changed is refused with 403, and it accepts what `sms-router simulate` sends.

V3 is signed by the library's own functions. V2 the library only verifies, so `hmac` signs it and the
library has to believe that before the server is asked; it covers neither query nor body. The oldest
signature, without a version, is not in the library. A query with letters beyond ASCII makes the
library raise, so such a GET is judged by its parameters, and a POST's query is kept to ASCII.
"""

import base64
import hashlib
import hmac
import urllib.parse

from plivo.utils import validate_signature
from plivo.utils.signature_v3 import construct_get_url, construct_post_url, get_signature_v3, validate_v3_signature

from court import FORM, SENDER, SOME, Push, accounts, altered, form, fresh_id, hold, other
from router import NUMBER, PUBLIC_URL
from texts import TEXTS

# The first is what `simulate` signs with.
OLD = "OLD0123456789abcdef0123456789abcdef0123456"
NEW = "NEWfedcba9876543210fedcba9876543210fedcba9"
OTHER = "no" + NEW
# Each account is called at a public URL of another shape, and the last two take one version alone.
URLS = {
    "plain": f"{PUBLIC_URL}/inbound/plain",
    "port": "https://sms.example.gov.uk:8443/inbound/port",
    "moved": "https://council.example.org/elsewhere/behind%20a%20proxy",
    "only-v2": f"{PUBLIC_URL}/inbound/only-v2",
    "only-v3": f"{PUBLIC_URL}/inbound/only-v3",
}
VERSIONS = {"only-v2": "v2", "only-v3": "v3"}
NONCE = "12345678901234567890"


def parameters(text, **more):
    return {
        "From": SENDER.lstrip("+"), "To": NUMBER, "Text": text, "Type": "sms", "MessageUUID": fresh_id(),
        "TotalRate": "0", "Units": "1", "TotalAmount": "0", "MessageIntent": "", **more,
    }


def v3(url, values, secret=NEW, nonce=NONCE, is_get=False):
    """The headers, of the library's own making. It alters the parameters of a GET."""
    signed = construct_get_url(url, dict(values)) if is_get else construct_post_url(url, values)
    signature = get_signature_v3(secret, signed.decode(), nonce).decode()
    return {"X-Plivo-Signature-V3": signature, "X-Plivo-Signature-V3-Nonce": nonce}


def v2(url, secret=NEW, nonce=NONCE):
    mac = hmac.new(secret.encode(), (url + nonce).encode(), hashlib.sha256).digest()
    return {"X-Plivo-Signature-V2": base64.b64encode(mac).decode(), "X-Plivo-Signature-V2-Nonce": nonce}


def pairs_of(values):
    """A list stands for a name that comes several times."""
    return [(name, one) for name, value in values.items() for one in (value if isinstance(value, list) else [value])]


def post(text, account="plain", query="", secret=NEW, **more):
    values = parameters(text, **more)
    url = URLS[account] + (f"?{query}" if query else "")
    return Push(account, form(pairs_of(values)), {**FORM, **v3(url, values, secret)}, query)


def get(text):
    values = parameters(text)
    headers = v3(URLS["plain"], values, is_get=True)
    return Push("plain", query=urllib.parse.urlencode(values), headers=headers, method="GET")


def post_v2(text, account="only-v2", **how):
    return Push(account, form(parameters(text)), {**FORM, **v2(URLS[account], **how)})


def believes_v2(push, secret=NEW):
    nonce, signature = push.header("x-plivo-signature-v2-nonce"), push.header("x-plivo-signature-v2")
    return validate_signature(URLS[push.target], nonce, signature, secret)


def judged_v2(push):
    return dict(push.pairs())["Text"] if believes_v2(push, OLD) else None


def judged_v3(push):
    nonce, signature = push.header("x-plivo-signature-v3-nonce"), push.header("x-plivo-signature-v3")
    values = dict(push.pairs())
    believed = validate_v3_signature(push.method, URLS[push.target], nonce, OLD, signature, dict(values))
    return values["Text"] if believed else None


def accepted(court):
    for account in URLS:
        if account != "only-v2":
            court.accepts_all(f"V3 at {account}", lambda text: post(text, account))
    court.accepts_all("V3, GET", get, [(text, department) for text, department in TEXTS if len(text) < 500])
    for account in ("only-v2", "plain"):
        court.accepts_all(f"V2 at {account}", lambda text: post_v2(text, account), believes=believes_v2)

    def on(what, text, push):
        court.accepts(what, push, (text, "highways"))

    on("the other token of a rotation", "snow 1", post("snow 1", secret=OLD))
    on("a query", "snow 2", post("snow 2", query="b=2&a=x%20y&empty="))
    on("a repeated parameter", "snow 3", post("snow 3", Tag=["b", "a", "b"]))
    on("names with other letters", "snow 4", post("snow 4", **{"Straße": "ß", "雪": "❄️", "a b": "+ &=%"}))
    on("names that differ by case", "snow 5", post("snow 5", tag="1", TAG="2", Tag="3"))
    on("sixty parameters", "snow 6", post("snow 6", **{f"P{n}": str(n) for n in range(60)}))
    push = post("snow 7")
    several = f"{'A' * 43}=,{push.header('x-plivo-signature-v3')}"
    on("several signatures, one good", "snow 7", push.with_headers(x_plivo_signature_v3=several))


def refused(court):
    court.refuses_changed("V3", post)
    values = parameters("snow, refused")
    push = Push("plain", form(values), {**FORM, **v3(URLS["plain"], values)})
    for name in values:
        court.refuses(f"V3: {name} changed", push.but(body=form(altered(list(values.items()), name))))
    signature = push.header("x-plivo-signature-v3")
    for what, headers in {
        "the signature's first letter": {"x_plivo_signature_v3": ("B" if signature[0] == "A" else "A") + signature[1:]},
        "a signature that is none": {"x_plivo_signature_v3": "!!!!"},
        "no signature": {"x_plivo_signature_v3": None},
        "another nonce": {"x_plivo_signature_v3_nonce": other(NONCE)},
        "no nonce": {"x_plivo_signature_v3_nonce": None},
    }.items():
        court.refuses(f"V3: {what}", push.with_headers(**headers))
    court.refuses("V3: another's token", post("snow, refused", secret=OTHER))
    court.refuses("V3: a parameter added", push.but(body=push.body + b"&Extra=1"))
    court.refuses("V3: a query that was not signed", push.but(query="x=1"))
    court.refuses("V3: a signed query that is not there", post("snow, refused", query="x=1").but(query=""))
    court.refuses("V3: signed for another URL", push.but(target="port"))
    question = get("snow, refused")
    court.refuses("V3, GET: a parameter changed", question.but(query=question.query.replace("refused", "refuse0")))
    old = post_v2("snow, refused", "plain")
    # V3 decides where both are there, so that nobody can fall back to the weaker one.
    court.refuses("a bad V3 beside a good V2", old.with_headers(
        x_plivo_signature_v3=signature, x_plivo_signature_v3_nonce=NONCE))
    court.refuses("V2 where V3 alone is taken", post_v2("snow, refused", "only-v3"))
    court.refuses("V3 where V2 alone is taken", post("snow, refused", "only-v2"))
    court.refuses("V2: another nonce", old.with_headers(x_plivo_signature_v2_nonce=other(NONCE)))
    court.refuses("V2: another's token", post_v2("snow, refused", secret=OTHER))
    court.refuses("V2: signed for another URL", old.but(target="port"))


def simulated(court):
    for account in ("plain", "port", "moved", "only-v3"):
        court.simulates(account, judged_v3, TEXTS if account == "plain" else SOME)
    another = lambda push: push.with_headers(x_plivo_signature_v2_nonce=other(push.header("x-plivo-signature-v2-nonce")))
    court.simulates("only-v2", judged_v2, SOME, change=another)


if __name__ == "__main__":
    keys = {name: {"url": url} for name, url in URLS.items()}
    for name, version in VERSIONS.items():
        keys[name]["signature_version"] = version
    hold(accounts("plivo", keys), {"old": OLD, "new": NEW}, accepted, refused, simulated)
