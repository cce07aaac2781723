"""A running `sms-router serve` (standalone) for the judges, and the count of their verdicts.

Comes in: SMS_ROUTER_BIN, the binary (target/debug/sms-router if unset). Goes out: a process on
loopback with its own folder, ended with the `with` block. Not here: any signing; that is the part
of the libraries which judge.
"""

import contextlib
import http.client
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time

READY_WITHIN_S = 30
REQUEST_WITHIN_S = 30
ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("SMS_ROUTER_BIN", str(ROOT / "target/debug/sms-router"))
PUBLIC_URL = "https://sms.example.gov.uk"
NUMBER = "86555"
FEED_TOKEN = "feed-token-of-the-tests-0123456789"
DEPARTMENTS = ["contact-centre", "highways", "parking"]

ROUTES = """
[[department]]
name = "contact-centre"
[[department]]
name = "highways"
[[department]]
name = "parking"
[[number]]
number = "86555"
default = "contact-centre"
[[number]]
number = "*"
default = "contact-centre"
[[keyword]]
number = "86555"
word = "snow"
department = "highways"
[[keyword]]
number = "86555"
word = "park pay"
department = "parking"
"""


def free_port():
    """A port below 32768, where no outgoing connection takes it between this and the server's start."""
    while True:
        port = random.randrange(10_000, 32_768)
        with socket.socket() as probe:
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


class Router:
    """`accounts`: TOML of the account sections, and of others; `secrets`: file name under secrets/ to content;
    `archive`: more keys of that section; `departments`: name to more lines of its section.
    `binary` may be another when the `with` block is entered again, on the same folder and ports."""

    def __init__(self, accounts, secrets, routes=ROUTES, archive="", binary=BINARY, departments=None):
        self.binary = binary
        self.folder = tempfile.TemporaryDirectory(prefix="sms-router-sdk-")
        self.inbound, self.api, self.monitoring = free_port(), free_port(), free_port()
        home = pathlib.Path(self.folder.name)
        self.config = home / "sms-router.toml"
        (home / "secrets").mkdir(mode=0o700)
        for name, content in {**secrets, "feed": FEED_TOKEN, "sender-key": "sender-key-of-the-tests-0123456789"}.items():
            (home / "secrets" / name).write_text(content)
            (home / "secrets" / name).chmod(0o600)
        self.routes = home / "routes.toml"
        self.routes.write_text(routes)
        sections = "".join(f'[departments.{name}]\ntokens = [{{ file = "secrets/feed" }}]\n{more}\n'
                           for name, more in (departments or dict.fromkeys(DEPARTMENTS, "")).items())
        self.config.write_text(f"""
routes = "routes.toml"
data = "data"
[inbound]
listen = "127.0.0.1:{self.inbound}"
url = "{PUBLIC_URL}"
[api]
listen = "127.0.0.1:{self.api}"
[monitoring]
listen = "127.0.0.1:{self.monitoring}"
[archive]
sender_key = {{ file = "secrets/sender-key" }}
{archive}
{accounts}
{sections}
""")
        self.log = home / "log"

    def __enter__(self):
        self.killed = False
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", "-c", str(self.config)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_):
        code = self._stop()
        if code != 0 and not self.killed:
            self._show_log()
            sys.exit(f"serve ended with {code} after SIGTERM")

    def _wait_until_ready(self):
        end = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                if request(self.monitoring, "GET", "/readyz")[0] == 200:
                    return
            time.sleep(0.05)
        self._show_log()
        sys.exit(f"{self.binary} serve is not ready (exit status {self.process.poll()})")

    def kill(self):
        """With -9; the `with` block then ends without a word."""
        self.killed = True
        self.process.kill()
        self.process.wait()

    def _stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "no answer"

    def _show_log(self):
        sys.stderr.write(self.log.read_text(errors="replace")[-4000:])

    def post(self, path, body=b"", headers=None, method="POST"):
        """Sends bytes as they are; the status alone comes back."""
        return request(self.inbound, method, path, body, headers)[0]

    def run(self, *arguments):
        """Another command of the binary with these settings, to its end."""
        return subprocess.run(
            [self.binary, *arguments, "-c", str(self.config)], capture_output=True, timeout=60, check=False)

    def secret(self, name):
        """The path of a secret's file."""
        return str(self.config.parent / "secrets" / name)

    def simulate(self, account, url, sender, text, *options):
        """What `sms-router simulate` sends goes to `url`; its exit status comes back."""
        return subprocess.run(
            [self.binary, "simulate", "-c", str(self.config), "--account", account, "--to", NUMBER,
             "--from", sender, "--url", url, *options, "-"],
            input=text.encode(), capture_output=True, timeout=60, check=False)

    def texts(self):
        """Every text of every department's feed, oldest first: (department, text)."""
        return [(department, event["data"]["text"]) for department in DEPARTMENTS for event in self.events(department)]

    def events(self, department, after=""):
        """A department's feed after that id, oldest first."""
        found = []
        while True:
            last = found[-1]["id"] if found else after
            query = f"?limit=500&timeout=0{last and f'&lastEventId={last}'}"
            status, body = request(
                self.api, "GET", f"/v1/departments/{department}/messages{query}",
                headers={"Authorization": f"Bearer {FEED_TOKEN}"})
            events = json.loads(body) if status == 200 else sys.exit(f"the feed answered {status}: {body!r}")
            if not events:
                return found
            found += events


def request(port, method, path, body=b"", headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_WITHIN_S)
    try:
        connection.request(method, path, body=body or None, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Verdicts:
    """Counts, tells what failed, and ends with the line that `tests/run` adds up."""

    def __init__(self):
        self.passed = self.failed = 0

    def holds(self, what, condition, found=""):
        """One claim; `found` is shown when it does not hold."""
        if condition:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED: {what}{': ' if found != '' else ''}{found}", flush=True)
        return bool(condition)

    def equal(self, what, found, expected):
        return self.holds(what, found == expected, f"found {found!r}, expected {expected!r}")

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(0 if self.passed and not self.failed else 1)


class Receiver:
    """A webhook receiver on loopback that keeps what it got and answers 200."""

    def __enter__(self):
        import http.server
        import threading

        received = self.received = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                received.append((self.command, self.path, dict(self.headers.items()), body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/inbound/receiver"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
