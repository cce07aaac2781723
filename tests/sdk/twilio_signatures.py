"""Twilio's own Python library judges the `twilio` carrier: requests it signs are accepted, one byte
changed is refused with 403, and it accepts what `sms-router simulate` sends.
"""

import urllib.parse

from twilio.request_validator import RequestValidator

from court import FORM, Push, accounts, altered, form, hold
from router import NUMBER, PUBLIC_URL
from texts import TEXTS

# The first is what `simulate` signs with.
OLD = "0123456789abcdef0123456789abcdef"
NEW = "fedcba9876543210fedcba9876543210"
OTHER = "00000000000000000000000000000000"
# Each account is called at a public URL of another shape; `path` is where the router listens.
URLS = {
    "plain": f"{PUBLIC_URL}/inbound/plain",
    "port": "https://sms.example.gov.uk:8443/inbound/port",
    "default-port": "https://sms.example.gov.uk:443/inbound/default-port",
    "http": "http://sms.example.gov.uk/inbound/http",
    "mixed-case": "https://SMS.Example.gov.uk/inbound/mixed-case",
    "moved": "https://council.example.org/elsewhere/behind%20a%20proxy",
}
count = 0


class Parameters(dict):
    """Pairs in order, names repeated or not, in the way that the library asks for them."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self.pairs = list(pairs)

    def getall(self, name):
        return [value for key, value in self.pairs if key == name]


def parameters(text, *more, **replaced):
    global count
    count += 1
    values = {
        "ToCountry": "GB", "ToState": "", "SmsMessageSid": f"SM{count:032x}", "NumMedia": "0", "ToCity": "",
        "FromZip": "", "SmsSid": f"SM{count:032x}", "FromState": "", "SmsStatus": "received", "FromCity": "",
        "Body": text, "FromCountry": "GB", "To": NUMBER, "ToZip": "", "NumSegments": "1",
        "MessageSid": f"SM{count:032x}", "AccountSid": "AC" + "0" * 32, "From": "+447700900123",
        "ApiVersion": "2010-04-01", **replaced,
    }
    return [(name, value) for name, value in values.items() if value is not None] + list(more)


def sign(url, pairs, token=NEW):
    return RequestValidator(token).compute_signature(url, Parameters(pairs))


def quote_all(text):
    """Every byte as %xx, in lower case: allowed, and nothing any library writes."""
    return "".join(f"%{byte:02x}" for byte in text.encode())


def on_wire(pairs, signature, account="plain", **more):
    headers = FORM if signature is None else {**FORM, "X-Twilio-Signature": signature}
    return Push(account, form(pairs), headers, **more)


def post(text, account="plain"):
    pairs = parameters(text)
    return on_wire(pairs, sign(URLS[account], pairs), account)


def get(text):
    """A number set to GET: everything is in the query, and the signature covers the URL alone."""
    query = urllib.parse.urlencode(parameters(text), quote_via=urllib.parse.quote)
    signature = sign(f"{URLS['plain']}?{query}", [])
    return Push("plain", query=query, headers={"X-Twilio-Signature": signature}, method="GET")


def accepted(court):
    for account in URLS:
        court.accepts_all(account, lambda text: post(text, account))
    court.accepts_all("GET", get, [(text, department) for text, department in TEXTS if len(text) < 500])
    plain = URLS["plain"]

    def on(what, pairs, url=plain, token=NEW, account="plain", **more):
        push = on_wire(pairs, sign(url, pairs, token), account).but(**more)
        court.accepts(what, push, (dict(pairs)["Body"], "highways"))

    on("an empty value", parameters("snow 1", ("Empty", "")))
    on("a repeated parameter", parameters("snow 2", ("Tag", "b"), ("Tag", "a"), ("Tag", "b")))
    on("names that differ by case", parameters("snow 3", ("tag", "1"), ("TAG", "2"), ("Tag", "3")))
    on("names with other letters", parameters("snow 4", ("Straße", "ß"), ("雪", "❄️"), ("a b", "+ &=%")))
    on("a parameter nobody knows", parameters("snow 5", ("Zukunft", "x" * 2000)))
    on("one name is the start of another", parameters("snow 6", ("A", "BC"), ("AB", "C")))
    on("sixty parameters", parameters("snow 7", *[(f"P{n}", str(n)) for n in range(60)]))
    pairs = parameters("snow 8 é +")
    on("%20 instead of +", pairs, body=urllib.parse.urlencode(pairs, quote_via=urllib.parse.quote).encode())
    pairs = parameters("snow 9 é +")
    on("every byte escaped, lower case", pairs, body="&".join(
        f"{quote_all(name)}={quote_all(value)}" for name, value in pairs).encode())
    pairs = parameters("snow 10")
    on("another order", pairs, body=form(pairs[::-1]))
    on("the other token of a rotation", parameters("snow 11"), token=OLD)
    query = "tenant=a%20b&empty=&x=%C3%A9"
    on("a query", parameters("snow 12"), f"{plain}?{query}", query=query)
    for number, (signed_url, account) in enumerate([
            ("https://sms.example.gov.uk:443/inbound/plain", "plain"),
            ("https://sms.example.gov.uk/inbound/default-port", "default-port"),
            ("http://sms.example.gov.uk:80/inbound/http", "http"),
            ("https://sms.example.gov.uk/inbound/port", "port")]):
        on(f"{account}, signed as {signed_url}", parameters(f"snow port {number}"), signed_url, account=account)


def refused(court):
    url = URLS["plain"]

    def check(what, pairs, signature, account="plain", **more):
        court.refuses(what, on_wire(pairs, signature, account, **more))

    for text, _ in TEXTS:
        pairs = parameters(text)
        signature = sign(url, pairs)
        for name in ("Body", "From", "To", "MessageSid"):
            check(f"{name} of {text[:30]!r} changed", altered(pairs, name), signature)
    pairs = parameters("snow, refused")
    signature = sign(url, pairs)
    check("a parameter added", pairs + [("Extra", "1")], signature)
    check("an empty parameter added", pairs + [("Extra", "")], signature)
    check("a parameter missing", [pair for pair in pairs if pair[0] != "AccountSid"], signature)
    check("an empty parameter missing", [pair for pair in pairs if pair[0] != "ToState"], signature)
    check("a name changed", [("body" if name == "Body" else name, value) for name, value in pairs], signature)
    check("a value repeated with another", pairs + [("Body", "other")], signature)
    check("the signature's first letter changed", pairs, ("B" if signature[0] == "A" else "A") + signature[1:])
    check("the signature cut", pairs, signature[:-4])
    check("a signature that is none", pairs, "!!!!")
    check("an empty signature", pairs, "")
    check("no signature", pairs, None)
    check("another's token", pairs, sign(url, pairs, OTHER))
    check("signed for another account's URL", pairs, sign(URLS["http"], pairs))
    check("signed for another scheme", pairs, sign(url.replace("https", "http"), pairs))
    check("signed for another path", pairs, sign(url + "/", pairs))
    check("signed for another case of the host", pairs, sign(URLS["mixed-case"].lower(), pairs), account="mixed-case")
    check("a query that was not signed", pairs, signature, query="x=1")
    check("a signed query that is not there", pairs, sign(url + "?x=1", pairs))
    check("a query changed", pairs, sign(url + "?x=1", pairs), query="x=2")
    check("the URL alone was signed", pairs, sign(url, []))


def judged(push):
    signature = push.header("x-twilio-signature")
    believed = RequestValidator(OLD).validate(URLS[push.target], Parameters(push.pairs()), signature)
    return dict(push.pairs())["Body"] if believed else None


def simulated(court):
    for account in ("plain", "port", "moved"):
        court.simulates(account, judged, change=lambda push: push.but(body=form(altered(push.pairs(), "Body"))))


if __name__ == "__main__":
    settings = accounts("twilio", {name: {"url": url} for name, url in URLS.items()})
    hold(settings, {"old": OLD, "new": NEW}, accepted, refused, simulated)
