"""Twilio's own Python library judges the `twilio` carrier: requests it signs are accepted, one byte
changed is refused with 403, and it accepts what `sms-router simulate` sends.
"""

import collections
import urllib.parse

from twilio.request_validator import RequestValidator

from router import NUMBER, PUBLIC_URL, Receiver, Router, Verdicts
from texts import TEXTS

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
FORM = "application/x-www-form-urlencoded"
count = 0


def accounts():
    return "".join(
        f'[accounts.{name}]\ncarrier = "twilio"\nurl = "{url}"\n'
        'secrets = [{ file = "secrets/old" }, { file = "secrets/new" }]\n'
        for name, url in URLS.items())


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


def body_of(pairs, quote=urllib.parse.quote_plus):
    return "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs).encode()


def quote_all(text):
    """Every byte as %xx, in lower case: allowed, and nothing any library writes."""
    return "".join(f"%{byte:02x}" for byte in text.encode())


def headers(signature):
    found = {"Content-Type": FORM}
    return found if signature is None else {**found, "X-Twilio-Signature": signature}


def accepts(router, verdicts):
    sent = collections.Counter()

    def check(what, account, pairs, signature, department, body=None, query=""):
        status = router.post(f"/inbound/{account}{query}", body or body_of(pairs), headers(signature))
        verdicts.equal(what, status, 200)
        sent[(department, dict(pairs)["Body"])] += 1

    for account, url in URLS.items():
        for text, department in TEXTS:
            pairs = parameters(text)
            check(f"{account}: {text[:30]!r}", account, pairs, sign(url, pairs), department)
    url = URLS["plain"]

    def on_plain(what, pairs, **more):
        check(what, "plain", pairs, sign(url, pairs), "highways", **more)

    on_plain("an empty value", parameters("snow 1", ("Empty", "")))
    on_plain("a repeated parameter", parameters("snow 2", ("Tag", "b"), ("Tag", "a"), ("Tag", "b")))
    on_plain("names that differ by case", parameters("snow 3", ("tag", "1"), ("TAG", "2"), ("Tag", "3")))
    on_plain("names with other letters", parameters("snow 4", ("Straße", "ß"), ("雪", "❄️"), ("a b", "+ &=%")))
    on_plain("a parameter nobody knows", parameters("snow 5", ("Zukunft", "x" * 2000)))
    on_plain("one name is the start of another", parameters("snow 6", ("A", "BC"), ("AB", "C")))
    on_plain("sixty parameters", parameters("snow 7", *[(f"P{n}", str(n)) for n in range(60)]))
    pairs = parameters("snow 8 é +")
    on_plain("%20 instead of +", pairs, body=body_of(pairs, urllib.parse.quote))
    pairs = parameters("snow 9 é +")
    on_plain("every byte escaped, lower case", pairs, body=body_of(pairs, quote_all))
    pairs = parameters("snow 10")
    on_plain("another order", pairs, body=body_of(pairs[::-1]))
    pairs = parameters("snow 11")
    check("the other token of a rotation", "plain", pairs, sign(url, pairs, OLD), "highways")
    pairs = parameters("snow 12")
    query = "?tenant=a%20b&empty=&x=%C3%A9"
    check("a query", "plain", pairs, sign(url + query, pairs), "highways", query=query)
    for number, (signed_url, account) in enumerate([
            ("https://sms.example.gov.uk:443/inbound/plain", "plain"),
            ("https://sms.example.gov.uk/inbound/default-port", "default-port"),
            ("http://sms.example.gov.uk:80/inbound/http", "http"),
            ("https://sms.example.gov.uk/inbound/port", "port")]):
        pairs = parameters(f"snow port {number}")
        check(f"{account}, signed as {signed_url}", account, pairs, sign(signed_url, pairs), "highways")
    for text, department in TEXTS:
        if len(text) < 500:
            sent[(department, text)] += get(router, verdicts, text)
    return sent


def get(router, verdicts, text):
    """A number set to GET: everything is in the query, and the signature covers the URL alone."""
    query = "?" + body_of(parameters(text), urllib.parse.quote).decode()
    signature = sign(URLS["plain"] + query, [])
    answer = router.post("/inbound/plain" + query, method="GET", headers={"X-Twilio-Signature": signature})
    verdicts.equal(f"GET {text[:30]!r}", answer, 200)
    return 1


def refuses(router, verdicts):
    url = URLS["plain"]

    def check(what, pairs, signature, account="plain", query="", method="POST"):
        body = body_of(pairs)
        status = router.post(f"/inbound/{account}{query}", body, headers(signature), method)
        verdicts.equal(what, status, 403)

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
    check("a query that was not signed", pairs, signature, query="?x=1")
    check("a signed query that is not there", pairs, sign(url + "?x=1", pairs))
    check("a query changed", pairs, sign(url + "?x=1", pairs), query="?x=2")
    check("the URL alone was signed", pairs, sign(url, []))


def altered(pairs, name):
    """One byte of one value is another; an empty value gets one."""
    value = dict(pairs)[name]
    last = "1" if value[-1:] == "0" else "0"
    return [(key, (value[:-1] + last) if key == name else old) for key, old in pairs]


def simulate_is_accepted(router, verdicts):
    validator = RequestValidator(OLD)
    with Receiver() as receiver:
        for account in ("plain", "port", "moved"):
            for text, _ in TEXTS:
                receiver.received.clear()
                run = router.simulate(account, receiver.url, "+447700900123", text)
                verdicts.equal(f"simulate {text[:30]!r} ends well", (run.returncode, len(receiver.received)), (0, 1))
                for method, path, found, body in receiver.received:
                    pairs = urllib.parse.parse_qsl(body.decode(), keep_blank_values=True)
                    signature = {name.lower(): value for name, value in found.items()}.get("x-twilio-signature", "")
                    judge = lambda values: validator.validate(URLS[account], Parameters(values), signature)
                    verdicts.equal(f"the library accepts {text[:30]!r} at {account}", (method, judge(pairs)), ("POST", True))
                    verdicts.equal("the text is whole", dict(pairs).get("Body"), text)
                    verdicts.equal("and refuses another text", judge(altered(pairs, "Body")), False)


def main():
    verdicts = Verdicts()
    with Router(accounts(), {"old": OLD, "new": NEW}) as router:
        sent = accepts(router, verdicts)
        refuses(router, verdicts)
        simulate_is_accepted(router, verdicts)
        found = collections.Counter(router.texts())
        verdicts.equal("what was accepted, and nothing else, is in the feeds", found - sent, {})
        verdicts.equal("all that was accepted is in the feeds", sent - found, {})
    verdicts.end()


if __name__ == "__main__":
    main()
