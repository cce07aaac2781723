"""A department's texts become tickets, each once: python tickets.py BROKERS TOPIC GROUP DATABASE

A text may come twice and the program may be killed at any time. So the ticket's key is ce_id, the ticket
is on disk before the offset is committed, and a ticket that is there already is left alone.
"""

import json
import signal
import sqlite3
import sys

from confluent_kafka import Consumer, KafkaException

brokers, topic, group, database = sys.argv[1:]
signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # leave the group properly, see finally

tickets = sqlite3.connect(database, isolation_level=None)  # every statement is committed by itself
tickets.execute("CREATE TABLE IF NOT EXISTS tickets (ce_id TEXT PRIMARY KEY, received_at TEXT, sender TEXT, text TEXT)")

consumer = Consumer({
    "bootstrap.servers": brokers,
    "group.id": group,
    "auto.offset.reset": "earliest",  # a new group begins with the oldest text
    "enable.auto.commit": False,  # we say when a text is done with
    "session.timeout.ms": 10_000,  # after a crash the next one begins within 10 s
})
consumer.subscribe([topic])


def work(ce_id, record):
    """Your work, in one transaction with the note that it is done. False if it was done before."""
    row = (ce_id, record["received_at"], record["from"], record["text"])
    return tickets.execute("INSERT INTO tickets VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", row).rowcount == 1


try:
    while True:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            if message.error().fatal():
                raise KafkaException(message.error())
            print(message.error(), file=sys.stderr)  # the library tries again by itself
            continue
        headers = dict(message.headers())
        ce_id, ce_type = headers["ce_id"].decode(), headers["ce_type"].decode()
        if not ce_type.endswith(".v1"):
            sys.exit(f"{ce_type} is newer than this program")  # not committed, so nothing is skipped
        if ce_type.endswith((".message.received.v1", ".message.addendum.v1")):
            print("new" if work(ce_id, json.loads(message.value())) else "known", ce_id, flush=True)
        consumer.commit(message, asynchronous=False)  # after the work, never before
finally:
    consumer.close()
