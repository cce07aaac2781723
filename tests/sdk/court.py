"""What every judge asks of its carrier: requests that the library believes arrive as they were meant,
changed ones are refused, and what `sms-router simulate` sends is believed by the library.

Comes in: settings, secrets, and hearings: functions that get the court and send what their library
signed. Goes out: verdicts, the last of them that the feeds hold what was accepted and nothing else.
Not here: any signing.
"""

import collections
import contextlib
import dataclasses
import itertools
import urllib.parse

from router import Receiver, Router, Verdicts
from texts import TEXTS

SENDER = "+447700900123"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
# Enough for what differs by account only, such as a method of hashing.
SOME = TEXTS[3::6]
_numbers = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class Push:
    """A webhook; `target` is what follows `/inbound/`."""

    target: str
    body: bytes = b""
    headers: dict = dataclasses.field(default_factory=dict)
    query: str = ""
    method: str = "POST"

    def header(self, name):
        """Its value, or an empty one."""
        return {key.lower(): value for key, value in self.headers.items()}.get(name.lower(), "")

    def with_headers(self, **replaced):
        """With some headers another (None: left out); `_` stands for `-`."""
        new = {name.replace("_", "-").lower(): value for name, value in replaced.items()}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in new}
        return self.but(headers={**kept, **{name: value for name, value in new.items() if value is not None}})

    def but(self, **replaced):
        return dataclasses.replace(self, **replaced)

    def pairs(self):
        """The parameters, decoded: of a GET those of the query, else the form's."""
        source = self.query if self.method == "GET" else self.body.decode(errors="replace")
        return urllib.parse.parse_qsl(source, keep_blank_values=True)


def fresh_id():
    return f"judge-{next(_numbers):08}"


def form(pairs):
    return urllib.parse.urlencode(pairs).encode()


def flip(data, position):
    """One byte, one bit: still a byte that HTTP carries."""
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1:]


def flipped(push):
    return push.but(body=flip(push.body, len(push.body) // 2))


def other(value):
    """The same text but for its last character."""
    return value[:-1] + ("1" if value[-1:] == "0" else "0")


def altered(pairs, name):
    """One byte of one value is another; an empty value gets one."""
    return [(key, other(value) if key == name else value) for key, value in pairs]


class Court:
    def __init__(self, router):
        self.router, self.verdicts, self.sent = router, Verdicts(), collections.Counter()

    def _status(self, push):
        query = f"?{push.query}" if push.query else ""
        return self.router.post(f"/inbound/{push.target}{query}", push.body, push.headers, push.method)

    def accepts(self, what, push, *arrive):
        """`arrive`: (text, department) of every text in it."""
        self.verdicts.equal(what, self._status(push), 200)
        self.sent.update((department, text) for text, department in arrive)

    def accepts_all(self, what, push_of, texts=TEXTS, believes=None):
        """`push_of` signs a text; `believes` is the library's own word, where something else signed."""
        for text, department in texts:
            push = push_of(text)
            if believes is not None:
                self.verdicts.equal(f"{what}: the library believes {text[:30]!r}", bool(believes(push)), True)
            self.accepts(f"{what}: {text[:30]!r}", push, (text, department))

    def refuses(self, what, push, status=403):
        self.verdicts.equal(what, self._status(push), status)

    def refuses_changed(self, what, push_of, texts=TEXTS):
        """A byte of every kind of place is another: the first, one in the middle, the last."""
        for text, _ in texts:
            push = push_of(text)
            for position in (0, len(push.body) // 2, len(push.body) - 1):
                self.refuses(f"{what}: byte {position} of {text[:30]!r}", push.but(body=flip(push.body, position)))

    def simulates(self, account, judged, texts=TEXTS, change=flipped, options=()):
        """`judged` gives the text of a request that the library believes, and None of any other."""
        with Receiver() as receiver:
            for text, _ in texts:
                receiver.received.clear()
                run = self.router.simulate(account, receiver.url, SENDER, text, *options)
                found = (run.returncode, len(receiver.received))
                self.verdicts.equal(f"{account}: simulate {text[:30]!r} ends well", found, (0, 1))
                for method, path, headers, body in receiver.received:
                    push = Push(account, body, headers, urllib.parse.urlsplit(path).query, method)
                    self.verdicts.equal(f"{account}: the library takes {text[:30]!r}", judged(push), text)
                    if change is not None:
                        self.verdicts.equal("and refuses it changed", judged(change(push)), None)


@contextlib.contextmanager
def refusal(*errors):
    """What a library raises instead of saying no; then the function's last line answers."""
    with contextlib.suppress(UnicodeDecodeError, *errors):
        yield


def hold(settings, secrets, *hearings):
    with Router(settings, secrets) as router:
        court = Court(router)
        for hearing in hearings:
            hearing(court)
        found = collections.Counter(router.texts())
        court.verdicts.equal("what was accepted, and nothing else, is in the feeds", found - court.sent, {})
        court.verdicts.equal("all that was accepted is in the feeds", court.sent - found, {})
    court.verdicts.end()


def accounts(carrier, names):
    """The sections of accounts that differ by these keys alone: name to a table of values."""
    def section(name, more):
        lines = "".join(f'{key} = "{value}"\n' for key, value in {"carrier": carrier, **more}.items())
        return f'[accounts.{name}]\n{lines}secrets = [{{ file = "secrets/old" }}, {{ file = "secrets/new" }}]\n'

    return "".join(section(name, more) for name, more in names.items())
