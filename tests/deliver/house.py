"""A router with departments that get mails and pushes, `deliver run` beside it, and what both have said.

Comes in: SMS_ROUTER_BIN. Goes out: processes, ended with their `with` block; metrics, dead letters, logs. What a log may
not have is asked of all that was ever said. Not here: servers, judgement.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys

import trustme

from arrivals import until
from load import NUMBER, SECRET
from mailserver import PASSWORD, USER
from router import BINARY, Router, free_port, request

STOPPED_WITHIN_S = 40
RETRY = "retry_ms = 50\nretry_max_ms = 400"
SECRETS = {"demo": SECRET, "smtp": PASSWORD}
ACCOUNT = """
[accounts.demo]
carrier = "generic"
secrets = [{ file = "secrets/demo" }]
body_max = 262144
"""


class Town:
    """The authority that all believe, another one, and a folder for what is given to the router."""

    def __init__(self, folder):
        self.authority, self.other = trustme.CA(), trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca)
        self.certificate = self.authority.issue_cert("127.0.0.1", "localhost")

    def smtp(self, server, tls="starttls"):
        return f"""
[smtp]
host = "127.0.0.1"
port = {server.port}
tls = "{tls}"
user = "{USER}"
password = {{ file = "secrets/smtp" }}
from = "sms-router@example.gov.uk"
ca = "{self.ca}"
timeout_ms = 10000
"""

    def push(self, receiver, secrets=("push",), more=""):
        files = ", ".join(f'{{ file = "secrets/{name}" }}' for name in secrets)
        return (f'push = {{ url = "{receiver.url}", secrets = [{files}], ca = "{self.ca}", private_network = true, '
                f"timeout_ms = 3000{more} }}")


def email(*to, more=""):
    return f'email = {{ to = {json.dumps(to)}, hourly_max = 100000{more} }}'


def routes(names, topics=None):
    """A keyword for each department but the first, which has all the rest. `topics`: a prefix."""
    topic = f'topic = "{topics}.{{}}"\n' if topics else ""
    named = "".join(f'[[department]]\nname = "{name}"\n{topic.format(name)}' for name in names)
    words = "".join(f'[[keyword]]\nword = "{name}"\ndepartment = "{name}"\n' for name in names[1:])
    return f'{named}[[number]]\nnumber = "{NUMBER}"\ndefault = "{names[0]}"\n{words}'


class House(Router):
    """`serve`. Entered again it is started again, on the same folder and ports."""

    def __init__(self, settings, channels, secrets=None, topics=None, retry=RETRY):
        """`channels`: department to its e-mail and push; the first has what no keyword leads elsewhere."""
        super().__init__(
            f"{ACCOUNT}{settings}[deliver]\n{retry}\n", {**SECRETS, **(secrets or {})}, routes(list(channels), topics),
            departments=channels)
        self.words = ""

    def _keep_words(self):
        self.words += self.log.read_text(errors="replace")
        self.log.write_text("")

    def __exit__(self, *what):
        try:
            super().__exit__(*what)
        finally:
            self._keep_words()

    def kill(self):
        super().kill()
        self._keep_words()

    def said(self):
        return self.words + self.log.read_text(errors="replace")

    def write_secret(self, name, content):
        """As a person or Kubernetes would: the whole file at once."""
        new = self.secret(f".{name}.new")
        with open(new, "w", encoding="ascii") as file:
            file.write(content)
        os.chmod(new, 0o600)
        os.replace(new, self.secret(name))

    def metric(self, name, department, channel, **labels):
        return metric(self.monitoring, name, department, channel, **labels)

    def letters(self, reason="undelivered"):
        """Open dead letters, without words."""
        run = self.run("dead-letter", "list", "--reason", reason)
        if run.returncode != 0:
            sys.exit(f"dead-letter list: {run.stderr.decode()}")
        return [json.loads(line) for line in run.stdout.splitlines()]


def metric(port, name, department, channel, **labels):
    """The value; 0 where it is not there."""
    wanted = {"department": department, "channel": channel, **labels}
    for line in request(port, "GET", "/metrics")[1].decode().splitlines():
        found = re.fullmatch(rf"sms_router_{name}\{{(.*)\}} (\S+)", line)
        if found and dict(re.findall(r'(\w+)="([^"]*)"', found[1])) == wanted:
            return float(found[2])
    return 0.0


class Deliverer:
    """`deliver run` with a house's settings and a port of its own."""

    def __init__(self, house, name):
        self.house, self.port, self.process = house, free_port(), None
        self.log = house.log.with_suffix(f".{name}")

    def __enter__(self):
        environment = {**os.environ, "SMS_ROUTER__MONITORING__LISTEN": f"127.0.0.1:{self.port}"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "deliver", "run", "-c", str(self.house.config)], env=environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            until("deliver run is ready", self._is_ready)
        except BaseException:
            self.kill()
            sys.stderr.write(self.said()[-3000:])
            raise
        return self

    def _is_ready(self):
        if self.process.poll() is not None:
            sys.exit(f"deliver run ended with {self.process.poll()}")
        with contextlib.suppress(OSError):
            return request(self.port, "GET", "/readyz")[0] == 200

    def __exit__(self, *_):
        """SIGTERM; it must end well, if it was not killed."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            code = "no answer"
        if code != 0:
            sys.exit(f"deliver run ended with {code} after SIGTERM: {self.said()[-3000:]}")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def said(self):
        return self.log.read_text(errors="replace")


def judge_words(verdicts, what, said, secrets=()):
    """No number, no words of a resident, no secret, no mailbox in a log."""
    for name, pattern in {
        "a number": r"44770090\d|0770090\d", "words of a text": r" text \d+\b|❄", "a mailbox": r"@\w+\.gov\.uk",
        "a secret": "|".join(map(re.escape, (SECRET, PASSWORD, *secrets))),
    }.items():
        found = [line for line in said.splitlines() if re.search(pattern, line)]
        verdicts.equal(f"{what}: {name} in the log", found[:2], [])
    verdicts.holds(f"{what}: the log says something", said.strip() != "")
