"""The previous release and this build, in turn on one data folder or side by side, and a load that does not stop.

Comes in: SMS_ROUTER_PREVIOUS and SMS_ROUTER_BIN, the two programs. Goes out: routers and archive consumers on
loopback, what was answered 200, and waiting for events. Not here: what is asked of them.
"""

import contextlib
import http.client
import itertools
import json
import os
import subprocess
import sys
import threading
import time
import urllib.parse

from router import BINARY, free_port, request

WITHIN_S = 60
STOPPED_WITHIN_S = 40
PATH_SECRET = "path-secret-of-the-tests"
SECRETS = {
    "demo": "whsec_c2VjcmV0IG9mIHRoZSB1cGdyYWRlIHRlc3Rz", "twilio": "twilio-token", "path": PATH_SECRET}
NAMES = {os.environ["SMS_ROUTER_PREVIOUS"]: "the previous release", BINARY: "this build"}
OLD, NEW = NAMES
ACCOUNTS = """
[accounts.demo]
carrier = "generic"
secrets = [{ file = "secrets/demo" }]
[accounts.twilio]
carrier = "twilio"
secrets = [{ file = "secrets/twilio" }]
[accounts.kannel]
carrier = "kannel"
secrets = [{ file = "secrets/path" }]
[accounts.pieces]
carrier = "form"
format = "json"
fields = { id = "id", from = "from", text = "text", reference = "ref", total = "of", number = "no" }
number = "86555"
secrets = [{ file = "secrets/path" }]
"""
DEPARTMENT = "highways"


def until(what, is_so, within_s=WITHIN_S):
    """What `is_so` gave once it is true of it."""
    end = time.monotonic() + within_s
    while not (found := is_so()):
        if time.monotonic() > end:
            sys.exit(f"not within {within_s} s: {what}")
        time.sleep(0.05)
    return found


def push(router, identity, sender, text, to="86555"):
    """A text as a Kannel would; the status."""
    query = {"sender": sender, "to": to, "message": text, "id": identity}
    return router.post(f"/inbound/kannel/{PATH_SECRET}?{urllib.parse.urlencode(query)}", method="GET")


def push_piece(router, reference, number, total, text):
    """One piece of a long text; the status."""
    fields = {"id": f"{reference}-{number}", "from": "07700900199", "text": text, "ref": reference,
              "of": str(total), "no": str(number)}
    return router.post(f"/inbound/pieces/{PATH_SECRET}", json.dumps(fields).encode(), {"content-type": "application/json"})


def done(verdicts, what, run):
    """A command's words; that it ended well is a verdict."""
    verdicts.equal(f"{what}: {run.stderr.decode(errors='replace')[-500:]}", run.returncode, 0)
    return run.stdout.decode()


def metric(port, series):
    """The value, 0 where it is not there."""
    lines = request(port, "GET", "/metrics")[1].decode().splitlines()
    values = [line.rpartition(" ")[2] for line in lines if line.startswith(f"{series} ")]
    return float(values[0]) if values else 0.0


@contextlib.contextmanager
def running(router, binary):
    """The router as that build, on the folder as it is."""
    router.binary = binary
    with router:
        yield router


def archived(router, department=DEPARTMENT):
    """Id to text of all audit copies of a department, by `archive get`; `None` while there is no answer."""
    day = time.time() // 86_400 * 86_400
    since, until_day = (time.strftime("%Y-%m-%d", time.gmtime(day + shift * 86_400)) for shift in (-1, 2))
    run = router.run("archive", "get", "--department", department, "--since", since, "--until", until_day,
                     "--reason", "the upgrade is tested", "--show-text")
    if run.returncode != 0:
        return None
    records = [json.loads(line)["record"] for line in run.stdout.splitlines()]
    return {record["id"]: record["text"] for record in records}


class Archiver:
    """`archive run` with a router's settings; ended with SIGTERM."""

    def __init__(self, router):
        self.router, self.port, self.process = router, free_port(), None
        self.log = router.log.with_suffix(".archiver")

    def said(self):
        return self.log.read_text(errors="replace")[-3000:]

    def start(self, binary):
        environment = {**os.environ, "SMS_ROUTER__MONITORING__LISTEN": f"127.0.0.1:{self.port}"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [binary, "archive", "run", "-c", str(self.router.config)], env=environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        until("archive run is ready", self._is_ready)

    def _is_ready(self):
        if self.process.poll() is not None:
            sys.exit(f"archive run ended: {self.said()}")
        with contextlib.suppress(OSError):
            return request(self.port, "GET", "/readyz")[0] == 200

    def stop(self):
        """The exit status."""
        self.process.terminate()
        try:
            return self.process.wait(timeout=STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    @contextlib.contextmanager
    def running(self, binary):
        """As that build; it must end well."""
        self.start(binary)
        try:
            yield self
        finally:
            code = self.stop()
        if code != 0:
            sys.exit(f"archive run ended with {code} after SIGTERM: {self.said()}")


class Load:
    """Senders that push one text after the other, each to the next router, again until it is answered 200.
    `answered`: those texts. `begun`: all that were ever sent, for a text without an answer may have arrived."""

    SENDERS = 4
    LONG_EVERY = 8
    PAUSE_S = 0.01

    def __init__(self, name, routers, with_long=False):
        self.name, self.routers, self.with_long = name, routers, with_long
        self.answered, self.begun, self.stopped = [], set(), threading.Event()
        self.threads = [threading.Thread(target=self._push_on, args=(sender,), daemon=True)
                        for sender in range(self.SENDERS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join(timeout=WITHIN_S)

    def more(self, count):
        """Waits until so many more are answered."""
        enough = len(self.answered) + count
        until(f"{count} more texts are answered", lambda: len(self.answered) >= enough)

    def _push_on(self, sender):
        for number in itertools.count():
            name = f"{self.name}-{sender}-{number}"
            if self.with_long and number % self.LONG_EVERY == 0:
                text = self._long(name, number)
            else:
                text = f"snow {name}"
                self.begun.add(text)
                self._bring(number, lambda router: push(router, name, f"0770090{sender:04}", text))
            if self.stopped.is_set():
                return
            self.answered.append(text)
            self.stopped.wait(self.PAUSE_S)

    def _long(self, name, number):
        """In three pieces, each to another router than the one before it. It is brought to its end."""
        pieces = [f"snow {name} ", "in three ", "pieces"]
        self.begun.add("".join(pieces))
        for place, piece in enumerate(pieces, 1):
            self._bring(number + place, lambda router: push_piece(router, name, place, 3, piece), to_its_end=True)
        return "".join(pieces)

    def _bring(self, turn, post, to_its_end=False):
        for router in itertools.islice(itertools.cycle(self.routers), turn % len(self.routers), None):
            with contextlib.suppress(OSError, http.client.HTTPException):
                if post(router) == 200:
                    return
            if self.stopped.is_set() and not to_its_end:
                return
            time.sleep(self.PAUSE_S)
