"""The examples for departments at work: texts through a real router to a real Kafka, some of them there
twice; each example is killed in the middle of its work and started again, and works every text once.

Comes in: SMS_ROUTER_BIN, SMS_ROUTER_TEST_KAFKA, CLASSPATH and NODE_PACKAGES with what the examples need.
Goes out: verdicts on what the examples have written, and on the README's lines for kcat.
"""

import collections
import contextlib
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.parse

from confluent_kafka import Consumer, Producer, TopicPartition

from router import Router, Verdicts

BROKERS = os.environ["SMS_ROUTER_TEST_KAFKA"]
HERE = pathlib.Path(__file__).resolve().parent
WITHIN_S = 90
# What the examples set.
SESSION_S = 10
# Longer than an example needs to start and be seen at work, so that it is killed before its end.
TEXTS, TEXTS_AFTER = 600, 100
KILLED_AFTER = 20
EVERY_THIRD = 3

ROUTES = """
[[department]]
name = "highways"
topic = "{topic}"
[[number]]
number = "86555"
default = "highways"
"""
SETTINGS = f"""
[publish]
to = "kafka"
brokers = "{BROKERS}"
[publish.topics]
replication = 1
min_insync_replicas = 1
[accounts.carrier]
carrier = "kannel"
auth = "none"
unauthenticated = true
"""


class Topic:
    """All records of it, as they lie there; and copies, as a producer that tries again leaves them."""

    def __init__(self, name):
        self.name = name
        self.producer = Producer({"bootstrap.servers": BROKERS})
        self.reader = Consumer({"bootstrap.servers": BROKERS, "group.id": f"{name}-judge", "enable.auto.commit": False})

    def end(self):
        return self.reader.get_watermark_offsets(TopicPartition(self.name, 0), timeout=30)[1]

    def records(self):
        end, found = self.end(), []
        self.reader.assign([TopicPartition(self.name, 0, 0)])
        until(f"{end} records are read", lambda: found.extend(self.reader.consume(500, 0.2)) or len(found) >= end)
        return found

    def copy(self, record, **headers):
        sent = dict(record.headers()) | headers
        self.producer.produce(self.name, record.value(), record.key(), headers=sent)
        if self.producer.flush(30):
            sys.exit("a copy could not be produced")

    def done_with(self, group):
        """How far a group has got."""
        known = Consumer({"bootstrap.servers": BROKERS, "group.id": group})
        with contextlib.closing(known):
            return known.committed([TopicPartition(self.name, 0)], timeout=30)[0].offset


class Example:
    def __init__(self, name, command, folder, topic):
        self.name, self.topic, self.group = name, topic, f"{topic.name}-{name}"
        self.store, self.said = folder / f"{name}.tickets", folder / f"{name}.said"
        self.command = [*command, BROKERS, topic.name, self.group, self.store]
        self.process = None

    def start(self):
        with self.said.open("ab") as said, self.said.with_suffix(".errors").open("ab") as errors:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=said, stderr=errors)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        return self.process.wait() if self.process else None

    def count(self, word):
        return self.said.read_bytes().count(word)

    def tickets(self):
        """(id, text) of all, in the order written."""
        if not self.store.read_bytes().startswith(b"SQLite"):
            rows = map(json.loads, self.store.read_text().splitlines())
            return [(row["ce_id"], row["text"]) for row in rows]
        with contextlib.closing(sqlite3.connect(self.store)) as database:
            return database.execute("SELECT ce_id, text FROM tickets ORDER BY rowid").fetchall()

    def complaint(self):
        return self.said.with_suffix(".errors").read_text(errors="replace")[-2000:]


def until(what, is_so, examples=()):
    end = time.monotonic() + WITHIN_S
    while not is_so():
        ended = [example for example in examples if example.process.poll() is not None]
        if ended or time.monotonic() > end:
            for example in examples:
                print(f"{example.name} (exit status {example.process.poll()}): {example.complaint()}", file=sys.stderr)
            sys.exit(f"not within {WITHIN_S} s, or an example ended: {what}")
        time.sleep(0.005)


def push(router, numbers):
    for number in numbers:
        query = {"sender": f"0770090{number:04}", "to": "86555", "message": f"text {number} ❄", "id": f"id-{number}"}
        status = router.post(f"/inbound/carrier?{urllib.parse.urlencode(query)}", method="GET")
        if status != 200:
            sys.exit(f"text {number}: answered {status}")


def judge_restart(verdicts, router, topic, examples):
    push(router, range(TEXTS))
    copied = topic.records()[::EVERY_THIRD]
    for record in copied:
        topic.copy(record)
    for example in examples:
        example.start()
    waiting = list(examples)
    while waiting:
        until("one has begun", lambda: any(each.count(b"new ") >= KILLED_AFTER for each in waiting), waiting)
        for example in [each for each in waiting if each.count(b"new ") >= KILLED_AFTER]:
            example.kill()
            waiting.remove(example)
            done = len(example.tickets())
            print(f"{example.name}: killed after {done} of {TEXTS} texts, {topic.done_with(example.group)} committed")
            verdicts.equal(f"{example.name}: killed in the middle", done < TEXTS, True)
    push(router, range(TEXTS, TEXTS + TEXTS_AFTER))
    for record in copied:
        topic.copy(record)
    for example in examples:
        example.start()
    for example in examples:
        until(f"{example.name} is done", lambda: topic.done_with(example.group) == topic.end(), examples)
    expected = collections.Counter(
        (json.loads(record.value())["id"], json.loads(record.value())["text"]) for record in topic.records())
    verdicts.equal("every text is on the topic", len(expected), TEXTS + TEXTS_AFTER)
    verdicts.equal("a third of them three times", sorted(collections.Counter(expected.values())), [1, 3])
    for example in examples:
        worked = collections.Counter(example.tickets())
        verdicts.equal(f"{example.name}: worked once", [text for text in worked if worked[text] > 1], [])
        verdicts.equal(f"{example.name}: nothing is missing", sorted(expected.keys() - worked.keys()), [])
        verdicts.equal(f"{example.name}: nothing is made up", sorted(worked.keys() - expected.keys()), [])
        verdicts.equal(f"{example.name}: copies came", example.count(b"known ") >= 2 * len(copied), True)


def judge_newer(verdicts, topic, examples):
    """A major version that an example does not know: it stops, and nothing is skipped."""
    before = topic.end()
    topic.copy(topic.records()[0], ce_type=b"sms-router.message.received.v2")
    for example in examples:
        with contextlib.suppress(subprocess.TimeoutExpired):
            example.process.wait(WITHIN_S)
        verdicts.equal(f"{example.name}: ends at what is newer", example.process.poll(), 1)
        verdicts.equal(f"{example.name}: and says so", "newer than this program" in example.complaint(), True)
        verdicts.equal(f"{example.name}: it is not skipped", topic.done_with(example.group), before)


def judge_leaving(verdicts, example):
    """Told to stop, it leaves its group: the next begins at once, not when a session has run out."""
    example.start()
    until("it works", lambda: example.count(b"new ") >= KILLED_AFTER, [example])
    example.process.send_signal(signal.SIGTERM)
    verdicts.equal("python: ends when told to", example.process.wait(WITHIN_S), 0)
    stopped, before = time.monotonic(), example.count(b"new ")
    example.start()
    until("the next works", lambda: example.count(b"new ") > before, [example])
    verdicts.equal("python: the next begins at once", time.monotonic() - stopped < SESSION_S / 2, True)


def judge_kcat(verdicts, topic):
    def kcat(*options):
        run = subprocess.run(
            ["kcat", "-b", BROKERS, "-C", "-q", "-t", topic.name, *options],
            capture_output=True, text=True, timeout=60, check=False)
        return run.returncode, run.stdout.splitlines()

    code, lines = kcat("-o", "beginning", "-e", "-f", "%h\n%s\n")
    verdicts.equal("kcat: all of it", (code, len(lines)), (0, 2 * topic.end()))
    verdicts.equal("kcat: headers", lines[0].startswith("ce_specversion=1.0,ce_id="), True)
    verdicts.equal("kcat: the record", json.loads(lines[1])["department"], "highways")
    code, lines = kcat("-o", "-5", "-e", "-f", "%s\n")
    verdicts.equal("kcat: the last five", (code, len(lines)), (0, 5))
    an_hour_ago = int(time.time() - 3600) * 1000
    code, lines = kcat("-o", f"s@{an_hour_ago}", "-e", "-f", "%T %k %s\n")
    verdicts.equal("kcat: since an hour ago", (code, len(lines)), (0, topic.end()))


def main():
    verdicts, topic = Verdicts(), Topic(f"consumers-{time.time_ns()}")
    router = Router(SETTINGS, {}, ROUTES.format(topic=topic.name))
    made = router.run("setup")
    if made.returncode != 0:
        sys.exit(f"setup: {made.stdout.decode()}{made.stderr.decode()}")
    node = pathlib.Path(os.environ["NODE_PACKAGES"]) / "tickets.js"
    shutil.copy(HERE / "node/tickets.js", node)
    commands = {
        "python": [sys.executable, HERE / "python/tickets.py"],
        "node": ["node", node],
        "java": ["java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", HERE / "java/Tickets.java"],
    }
    for name in commands:
        source = pathlib.Path(commands[name][-1])
        verdicts.equal(f"{name}: is short", len(source.read_text().splitlines()) < 60, True)
    with tempfile.TemporaryDirectory() as folder, router:
        examples = [Example(name, command, pathlib.Path(folder), topic) for name, command in commands.items()]
        leaving = Example("leaving", commands["python"], pathlib.Path(folder), topic)
        try:
            judge_restart(verdicts, router, topic, examples)
            judge_leaving(verdicts, leaving)
            leaving.kill()
            judge_newer(verdicts, topic, examples)
        finally:
            for example in (*examples, leaving):
                example.kill()
        judge_kcat(verdicts, topic)
    verdicts.end()


if __name__ == "__main__":
    main()
