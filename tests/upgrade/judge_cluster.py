"""The cluster under both releases. Schema and copies of one are the other's. Then instances of both side by side, one
after another replaced under load, to this build and back: every text answered is in the archive once, no letter is
written, and texts whose pieces came to different instances are joined once.

Comes in: SMS_ROUTER_PREVIOUS, SMS_ROUTER_BIN, SMS_ROUTER_TEST_KAFKA, SMS_ROUTER_TEST_CQL.
"""

import collections
import contextlib
import datetime
import json
import os

from builds import ACCOUNTS, DEPARTMENT, NAMES, NEW, OLD, SECRETS, Archiver, Load, archived, done, push, running, until
from router import Router, Verdicts
from topics import PUBLISH, letters, records, routes, unique

# Answered after every step, with what stands side by side then.
LOADED = 40
TEXTS = 10
PREFIX = unique("cluster")
TOPIC = f"{PREFIX}.{DEPARTMENT}"
ARCHIVE = f"""
to = "cql"
nodes = ["{os.environ['SMS_ROUTER_TEST_CQL']}"]
keyspace = "{PREFIX.replace('-', '_')}"
replication = 1
"""


def instance():
    """A folder and ports of its own; topics, keyspace and keys are those of all."""
    return Router(PUBLISH + ACCOUNTS, SECRETS, routes(PREFIX), ARCHIVE)


def judge_in_turn(verdicts, router):
    """One release after the other, and back, on one schema; gives the texts."""
    expected, archiver = [], Archiver(router)
    for stage, binary in enumerate((OLD, NEW, OLD)):
        what = f"{stage}: {NAMES[binary]}"
        router.binary = binary
        done(verdicts, f"{what}: setup", router.run("setup"))
        with running(router, binary), archiver.running(binary):
            for number in range(TEXTS):
                text = f"in turn {stage} {number}"
                status = push(router, f"turn-{stage}-{number}", "07700900111", text)
                verdicts.equal(f"{what}: a push", status, 200)
                expected.append(text)
            until(f"{what}: all is archived", lambda: len(archived(router) or {}) >= len(expected))
        for router.binary in (OLD, NEW):
            found = sorted((archived(router) or {}).values())
            verdicts.equal(f"{what}; the copies, read by {NAMES[router.binary]}", found, sorted(expected))
    return expected


class Place:
    """Where an instance stands; `running` runs a build there."""

    def __init__(self, running):
        self.running, self.stack = running, contextlib.ExitStack()

    def become(self, binary):
        self.stack.close()
        self.stack.enter_context(self.running(binary))


def judge_side_by_side(verdicts, routers, before):
    archivers = [Archiver(router) for router in routers]
    serving = [Place(lambda binary, router=router: running(router, binary)) for router in routers]
    archiving = [Place(archiver.running) for archiver in archivers]
    there = [archiving[0], serving[0], archiving[1], serving[1]]
    with contextlib.ExitStack() as stack:
        for place in there:
            stack.callback(place.stack.close)
            place.become(OLD)
        with Load("rolling", routers, with_long=True) as load:
            load.more(LOADED)
            for binary, places in ((NEW, there), (OLD, reversed(there))):
                for place in places:
                    place.become(binary)
                    load.more(LOADED)
        answered = set(load.answered) | set(before)
        until("all that was answered is archived", lambda: answered <= set((archived(routers[0]) or {}).values()))
        judge_copies(verdicts, routers[0], load, before)
    print(f"{len(load.answered)} texts answered while four instances were replaced twice")


def judge_copies(verdicts, router, load, before):
    copies = archived(router)
    counts = collections.Counter(copies.values())
    verdicts.equal("copies of one text", {text: count for text, count in counts.items() if count > 1}, {})
    verdicts.equal("copies of what was never sent", set(counts) - load.begun - set(before), set())
    published = {record["id"]: record["text"] for record in records(TOPIC)}
    verdicts.equal("what is published and what is archived differ in", set(published.items()) ^ set(copies.items()), set())
    flags = {flag for record in records(TOPIC) for flag in record.get("flags", [])}
    verdicts.equal("flags, of texts that are not whole for example", flags, set())
    verdicts.holds("long texts were among them", any(text.endswith("in three pieces") for text in load.answered))
    verdicts.equal("dead letters", letters(), [])


def judge_by_reconcile(verdicts, router):
    """By each release, of what both have written."""
    now = datetime.datetime.now(datetime.timezone.utc)
    since, until_now = (now - datetime.timedelta(hours=1)).isoformat(), now.isoformat()
    for router.binary in (OLD, NEW):
        said = done(verdicts, f"reconcile by {NAMES[router.binary]}", router.run(
            "reconcile", "--since", since, "--until", until_now, "-o", "json"))
        verdicts.equal(f"reconcile by {NAMES[router.binary]}", said and json.loads(said)["ok"], True)


def main():
    verdicts, routers = Verdicts(), [instance(), instance()]
    before = judge_in_turn(verdicts, routers[0])
    judge_side_by_side(verdicts, routers, before)
    judge_by_reconcile(verdicts, routers[0])
    verdicts.end()


if __name__ == "__main__":
    main()
