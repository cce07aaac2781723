"""Processes on loopback that end with the `with` block, requests to them, and waiting for events.

Always true: a wait has a bound and says what it waited for; a process is signalled by its own handle.
"""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
STATE = pathlib.Path(os.environ.get("SMS_ROUTER_TEST_STATE", ROOT / "target/tests/hand")) / "monitoring"
STOPPED_WITHIN_S = 40
REQUEST_WITHIN_S = 20
LOG_TAIL = 3000


class Late(Exception):
    """What was waited for did not come."""


def wait_until(what, seconds, condition, state=lambda: ""):
    """Asks ten times a second; what `condition` gave once that is true of it. `state` is shown if it never is."""
    end, begin = time.monotonic() + seconds, time.monotonic()
    while True:
        with contextlib.suppress(OSError, urllib.error.URLError, json.JSONDecodeError):
            found = condition()
            if found:
                print(f"   {time.monotonic() - begin:5.1f} s  {what}", flush=True)
                return found
        if time.monotonic() > end:
            raise Late(f"within {seconds} s it did not happen that {what} {state()}")
        time.sleep(0.1)


def get(url, **query):
    """Status and body; an error's status too."""
    full = f"{url}?{urllib.parse.urlencode(query)}" if query else url
    try:
        with urllib.request.urlopen(full, timeout=REQUEST_WITHIN_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def get_json(url, **query):
    return json.loads(get(url, **query)[1])


class Process:
    """A child with a log of its own; `ready` is a condition that ends the wait for it."""

    def __init__(self, name, command, ready, environment=None, ready_within_s=60):
        self.name, self.command, self.ready, self.ready_within_s = name, command, ready, ready_within_s
        self.environment = {**os.environ, **(environment or {})}
        self.log = STATE / f"{name}.log"

    def __enter__(self):
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                [str(part) for part in self.command], env=self.environment, cwd=STATE,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until(f"{self.name} is ready", self.ready_within_s, self._ready_or_gone)
        except BaseException:
            self.stop()
            self.show_log()
            raise
        return self

    def _ready_or_gone(self):
        if self.child.poll() is not None:
            raise Late(f"{self.name} ended with {self.child.returncode} before it was ready")
        return self.ready()

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """SIGTERM, and its exit code."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            return self.child.wait(timeout=STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            return self.child.wait()

    def show_log(self):
        sys.stderr.write(f"-- end of {self.log}\n{self.log.read_text(errors='replace')[-LOG_TAIL:]}\n")


def run(what, command, environment=None, seconds=180):
    """A command that must succeed; what it printed."""
    done = subprocess.run(
        [str(part) for part in command], env={**os.environ, **(environment or {})}, cwd=STATE,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode:
        raise Late(f"{what} failed with {done.returncode}\n{done.stdout[-LOG_TAIL:]}{done.stderr[-LOG_TAIL:]}")
    return done.stdout
