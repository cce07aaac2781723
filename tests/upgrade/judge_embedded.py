"""One data folder under the previous release, this build, and the previous release again: what was answered 200 is in
the feed once, in its place; retries are known; pieces are joined; letters, copies and a backup can be had.

Comes in: SMS_ROUTER_PREVIOUS, SMS_ROUTER_BIN. Once each build is ended with SIGTERM, once with kill -9; texts come
meanwhile. Where the schema has moved on, the previous release must refuse the folder by name instead.
"""

import collections
import contextlib
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import tempfile

from builds import (ACCOUNTS, DEPARTMENT, NAMES, NEW, OLD, SECRETS, Load, archived, done, metric, push, push_piece,
                    running, until)
from router import DEPARTMENTS, READY_WITHIN_S, Router, Verdicts, free_port, request

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
[[keyword]]
word = "snow"
department = "highways"
[[keyword]]
word = "park"
department = "parking"
"""
ANY_NUMBER = """
[[number]]
number = "*"
default = "parking"
"""
NOWHERE = "12345"
LOADED = 60
RETRIED = 10


class Story:
    """What the folder was told, stage by stage, and must therefore hold."""

    def __init__(self, verdicts, name, is_killed):
        self.verdicts, self.name, self.is_killed = verdicts, name, is_killed
        self.router = Router(ACCOUNTS, SECRETS, ROUTES)
        self.home = self.router.config.parent
        self.database = self.home / "data/sms-router.sqlite"
        self.expected, self.loads = collections.Counter(), []
        self.cursor, self.read = "", 0
        self.stage, self.what = 0, ""

    def run(self, builds):
        versions = {}
        for self.stage, binary in enumerate(builds):
            self.what = f"{self.name}, {self.stage}: {NAMES[binary]}"
            if self.stage and self.version() > versions.get(binary, self.version()):
                return self.is_refused(binary)
            with running(self.router, binary):
                if self.stage:
                    self.judge()
                self.take()
            versions[binary] = self.version()

    def version(self):
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as database:
            return database.execute("PRAGMA user_version").fetchone()[0]

    def is_refused(self, binary):
        run = subprocess.run([binary, "serve", "-c", str(self.router.config)], capture_output=True,
                             timeout=READY_WITHIN_S, check=False)
        said = (run.stdout + run.stderr).decode(errors="replace")
        self.verdicts.holds(f"{self.what} refuses newer data by name", run.returncode != 0 and "newer" in said, said)

    def equal(self, what, found, expected):
        return self.verdicts.equal(f"{self.what}: {what}", found, expected)

    # ---- telling it

    def take(self):
        """Texts of every sort, and a load in whose middle the process ends."""
        for account, text, department in (
                ("demo", "Snow on Main St", "highways"), ("twilio", "When do you open?", "contact-centre"),
                ("kannel", "park \u2744 \u00e9", "parking"), ("demo", "STOP", "contact-centre")):
            said = f"{text} {self.stage}" if text != "STOP" else text
            done(self.verdicts, f"{self.what}: simulate", self.router.run(
                "simulate", "--account", account, "--to", "86555", "--from", "+447700900123", said))
            self.expected[department, said] += 1
        self.equal("a text to nowhere", push(self.router, f"n{self.stage}", "07700900124", self.lost(), NOWHERE), 200)
        unread = self.router.post("/inbound/pieces/" + SECRETS["path"], b"{" + str(self.stage).encode(), {
            "content-type": "application/json"})
        self.equal("what cannot be read", unread, 400)
        self.equal("a piece", push_piece(self.router, f"long-{self.stage}", 2, 2, f"and the rest {self.stage}"), 200)
        events = self.router.events(DEPARTMENT)
        self.cursor, self.read = events[-1]["id"], len(events)
        with Load(f"{'kill' if self.is_killed else 'term'}-{self.stage}", [self.router]) as load:
            load.more(LOADED)
            if self.is_killed:
                self.router.kill()
            else:
                self.router.process.send_signal(signal.SIGTERM)
                until("it has ended", lambda: self.router.process.poll() is not None)
            load.stopped.set()
        self.loads.append(load)

    def lost(self):
        return f"lost {self.stage}"

    # ---- asking it

    def judge(self):
        load = self.loads[-1]
        arrived = [text for department, text in self.router.texts() if department == DEPARTMENT and text in load.begun]
        self.equal("every text answered is there", set(load.answered) - set(arrived), set())
        # One whose answer the end cut off may be there or not.
        self.expected.update((DEPARTMENT, text) for text in arrived)
        self.equal("each once", len(arrived), len(set(arrived)))
        self.holds_all("after the start")
        self.equal("the cursor of before goes on where it was",
                   len(self.router.events(DEPARTMENT, self.cursor)) + self.read, self.count(DEPARTMENT))
        self.retry(load)
        self.join()
        self.replay()
        self.holds_all("in the end")
        self.look_at_copies()
        self.back_up()

    def count(self, department):
        return sum(count for (of, _), count in self.expected.items() if of == department)

    def holds_all(self, when):
        found = collections.Counter(self.router.texts())
        self.equal(f"the feeds, {when}", (found - self.expected, self.expected - found), ({}, {}))

    def retry(self, load):
        for text in load.answered[:RETRIED]:
            name = text.removeprefix("snow ")
            self.equal("a retry", push(self.router, name, f"0770090{int(name.split('-')[2]):04}", text), 200)
        known = metric(self.router.monitoring, 'sms_router_duplicates_total{account="kannel"}')
        self.equal("retries known", known, RETRIED)

    def join(self):
        before = self.stage - 1
        self.equal("the other piece", push_piece(self.router, f"long-{before}", 1, 2, f"Snow in pieces {before} "), 200)
        text = f"Snow in pieces {before} and the rest {before}"
        until("the pieces are joined", lambda: (DEPARTMENT, text) in self.router.texts())
        self.expected[DEPARTMENT, text] += 1

    def replay(self):
        self.equal("letters that cannot be read", len(self.letters("malformed")), self.stage)
        self.equal("letters to nowhere", len(self.letters("unknown_number")), 1)
        any_number = self.home / "any-number.toml"
        (self.home / "any-routes.toml").write_text(ROUTES + ANY_NUMBER)
        any_number.write_text(self.router.config.read_text().replace('"routes.toml"', '"any-routes.toml"'))
        done(self.verdicts, f"{self.what}: dead-letter replay", subprocess.run(
            [self.router.binary, "dead-letter", "replay", "--reason", "unknown_number", "-c", str(any_number)],
            capture_output=True, timeout=60, check=False))
        self.expected["parking", f"lost {self.stage - 1}"] += 1
        self.equal("letters left", len(self.letters("unknown_number")), 0)

    def letters(self, reason):
        run = self.router.run("dead-letter", "list", "--reason", reason)
        return done(self.verdicts, f"{self.what}: dead-letter list", run).splitlines()

    def look_at_copies(self):
        for department in DEPARTMENTS:
            found = collections.Counter((archived(self.router, department) or {}).values())
            expected = {text: count for (of, text), count in self.expected.items() if of == department}
            self.equal(f"the copies of {department}", dict(found), expected)

    def back_up(self):
        file = self.home / f"backup-{self.stage}"
        done(self.verdicts, f"{self.what}: backup", self.router.run("backup", str(file)))
        with contextlib.closing(sqlite3.connect(file)) as database:
            self.equal("the backup is sound", database.execute("PRAGMA integrity_check").fetchone(), ("ok",))
            copies = database.execute("SELECT count(*) FROM audit WHERE hollow = 0").fetchone()[0]
        self.equal("copies in the backup", copies, sum(self.expected.values()))


def judge_sample(verdicts):
    """Without any settings: secrets and tokens that the previous release made are this build's, and back."""
    with tempfile.TemporaryDirectory(prefix="sms-router-sample-") as folder:
        ports = {kind: free_port() for kind in ("inbound", "api", "monitoring")}
        environment = {name: value for name, value in os.environ.items() if name != "SMS_ROUTER_CONFIG"}
        environment |= {f"SMS_ROUTER__{kind.upper()}__LISTEN": f"127.0.0.1:{port}" for kind, port in ports.items()}
        environment["SMS_ROUTER__INBOUND__URL"] = f"http://127.0.0.1:{ports['inbound']}"
        texts = []
        for stage, binary in enumerate((OLD, NEW, OLD)):
            with Sample(binary, folder, environment, ports["monitoring"]) as sample:
                texts.append(f"Snow on Main St {stage}")
                done(verdicts, "simulate", sample.run("simulate", "--to", "86555", "--from", "+447700900123", texts[-1]))
                said = done(verdicts, "tail", sample.run("tail", "--from-start", DEPARTMENT))
                found = [json.loads(line)["text"] for line in said.splitlines()]
                verdicts.equal(f"the sample, {stage}: {NAMES[binary]}", found, texts)


class Sample:
    def __init__(self, binary, folder, environment, monitoring):
        self.command, self.folder, self.environment, self.monitoring = binary, folder, environment, monitoring

    def run(self, *arguments):
        return subprocess.run([self.command, *arguments], cwd=self.folder, env=self.environment, capture_output=True,
                              timeout=60, check=False)

    def __enter__(self):
        with pathlib.Path(self.folder, "log").open("ab") as log:
            self.process = subprocess.Popen([self.command, "serve"], cwd=self.folder, env=self.environment,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until("the sample is ready", self._is_ready)
        return self

    def _is_ready(self):
        with contextlib.suppress(OSError):
            return request(self.monitoring, "GET", "/readyz")[0] == 200

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=40)


def main():
    verdicts = Verdicts()
    for name, is_killed in (("SIGTERM", False), ("kill -9", True)):
        Story(verdicts, name, is_killed).run([OLD, NEW, OLD])
    judge_sample(verdicts)
    verdicts.end()


if __name__ == "__main__":
    main()
