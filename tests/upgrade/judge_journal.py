"""A journal that one release filled while Kafka was away is published by the other: each text once, each sender's in
their order. Both ways, and after SIGTERM as after kill -9.

Comes in: SMS_ROUTER_PREVIOUS, SMS_ROUTER_BIN, SMS_ROUTER_TEST_KAFKA.
"""

import collections
import concurrent.futures
import itertools

from builds import ACCOUNTS, NAMES, NEW, OLD, SECRETS, done, metric, push, running, until
from router import Router, Verdicts, free_port
from topics import BROKERS, PUBLISH, letters, records, routes, unique

SENDERS, TEXTS = 3, 8


def judge(first, then, is_killed):
    verdicts = Verdicts()
    ended = "kill -9" if is_killed else "SIGTERM"
    what = f"{NAMES[first]}, {ended}, {NAMES[then]}"
    prefix = unique("journal")
    router = Router(PUBLISH + ACCOUNTS, SECRETS, routes(prefix), binary=first)
    with_kafka = router.config.read_text()
    done(verdicts, f"{what}: setup", router.run("setup"))
    router.config.write_text(with_kafka.replace(BROKERS, f"127.0.0.1:{free_port()}"))
    pushed = collections.defaultdict(list)
    with running(router, first):
        for number, sender in itertools.product(range(TEXTS), range(SENDERS)):
            text, number_of_sender = f"{prefix} {sender} {number}", f"0770090{sender:04}"
            verdicts.equal(f"{what}: a push", push(router, text.replace(" ", "-"), number_of_sender, text), 200)
            pushed[f"+44{number_of_sender[1:]}"].append(text)
        if is_killed:
            router.kill()
    router.binary = then
    verdicts.holds(f"{what}: the journal's state", f"{SENDERS * TEXTS} texts" in done(
        verdicts, f"{what}: journal status", router.run("journal", "status")))
    router.config.write_text(with_kafka)
    with running(router, then):
        until(f"{what}: the journal is empty", lambda: metric(router.monitoring, "sms_router_journal_messages") == 0
              and len(records(f"{prefix}.highways")) >= SENDERS * TEXTS)
    found = collections.defaultdict(list)
    for record in records(f"{prefix}.highways"):
        found[record["from"]].append(record["text"])
    verdicts.equal(f"{what}: each once, and each sender's in their order", dict(found), dict(pushed))
    return verdicts


def main():
    """At once: an end without Kafka takes the time that a text may take."""
    cases = [(*builds, is_killed) for builds in ((OLD, NEW), (NEW, OLD)) for is_killed in (False, True)]
    verdicts = Verdicts()
    with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
        for judged in pool.map(lambda case: judge(*case), cases):
            verdicts.passed += judged.passed
            verdicts.failed += judged.failed
    verdicts.equal("dead letters", letters(), [])
    verdicts.end()


if __name__ == "__main__":
    main()
