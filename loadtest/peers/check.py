"""Posts texts to a running peer over many connections and, if asked, reads every one back from Kafka.

Comes in: the addresses, a count, and the peer's process group. Goes out: one line of JSON, exit status 1
if a text is missing, doubled, changed or on the wrong topic. The rate and the CPU are rough: this
program shares the machine with what it drives; figures come from the loadtest tool.
"""

import argparse
import asyncio
import collections
import json
import os
import sys
import time
import uuid

import uvloop
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
WORDS = ["Snow on Main St", "grit please, ice everywhere", "Park AB12 CDE", "hello", "Schnee auf der Straße ❄"]


def requests(count):
    """Texts and the requests that carry them; ids are this run's own."""
    run = uuid.uuid4().hex[:12]
    for number in range(count):
        text = {"id": f"check-{run}-{number:015}", "from": f"+447700900{number % 1000:03}", "to": "86555"}
        text["text"] = WORDS[number % len(WORDS)]
        body = {"type": "sms.received", "timestamp": "2026-01-01T00:00:00.000Z", "data": text}
        body = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
        head = (
            "POST /inbound/demo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            f"webhook-id: msg_{number:032}\r\nwebhook-timestamp: 1767225600\r\nwebhook-signature: v1,{'A' * 43}=\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        yield text, head.encode() + body


class Connection(asyncio.Protocol):
    """Sends its next request when it has the answer to the last."""

    def __init__(self, source, ended):
        self.source, self.ended, self.buffer = source, ended, b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        if not self.buffer.endswith(b"\r\n\r\n"):
            return
        if not self.buffer.startswith(b"HTTP/1.1 200 "):
            self.end(RuntimeError(self.buffer.decode(errors="replace")))
            return
        self.buffer = b""
        self.next()

    def connection_lost(self, _):
        self.end(RuntimeError("the peer closed a connection"))

    def next(self):
        """The next request that no connection has taken."""
        request = next(self.source, None)
        if request is None:
            self.end(None)
        else:
            self.transport.write(request)

    def end(self, error):
        """Once, with or without an error."""
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)


async def post(port, connections, bodies):
    """All of them, each once; how long that took."""
    loop = asyncio.get_running_loop()
    source = iter(bodies)
    ends = [loop.create_future() for _ in range(connections)]
    opened = [loop.create_connection(lambda end=end: Connection(source, end), "127.0.0.1", port) for end in ends]
    links = await asyncio.gather(*opened)
    began = time.monotonic()
    for _, connection in links:
        connection.next()
    await asyncio.wait_for(asyncio.gather(*ends), 240)
    return time.monotonic() - began


async def unanswered(port, request):
    """Whether two seconds pass without an answer: 0 if so."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        answer = await asyncio.wait_for(reader.read(1024), 2)
        print("answered while no broker could acknowledge:", answer, file=sys.stderr)
        return 0 if answer and not answer.startswith(b"HTTP/1.1 200 ") else 1
    except TimeoutError:
        return 0
    finally:
        writer.close()


def cpu_seconds(group):
    """User and system time of every process of the group."""
    ticks = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_SECOND


def read_back(brokers, topics, wanted):
    """Every record that lies on the topics now: (topic, value)."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "check", "enable.auto.commit": False})
    ends = {topic: consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20)[1] for topic in topics}
    consumer.assign([TopicPartition(topic, 0, 0) for topic in topics])
    left = sum(ends.values())
    if left < wanted:
        print(f"only {left} records are there", file=sys.stderr)
    until = time.monotonic() + 60
    while left and time.monotonic() < until:
        for record in consumer.consume(1000, 1):
            if record.error() is None:
                left -= 1
                yield record.topic(), record.value()
    consumer.close()


def verify(brokers, routes, texts):
    """What is wrong, and the mean size of a value."""
    expected = {}
    for text in texts:
        expected[text["id"]] = (routes.get(text["text"].split()[0].upper(), routes["*"]), text)
    seen, wrong, size = collections.Counter(), 0, 0
    for topic, value in read_back(brokers, sorted(set(routes.values())), len(texts)):
        record, size = json.loads(value), size + len(value)
        seen[record["carrier_message_id"]] += 1
        wanted_topic, text = expected.get(record["carrier_message_id"], (None, {}))
        same = all(record[field] == text.get(field) for field in ("from", "to", "text"))
        wrong += not (same and topic == wanted_topic == record["department"])
    missing = sum(1 for id in expected if not seen[id])
    doubled = sum(1 for count in seen.values() if count > 1)
    return {"missing": missing, "doubled": doubled, "wrong": wrong, "value_bytes": size // max(1, seen.total())}


def create(brokers, topics):
    """The topics, one partition each."""
    admin = AdminClient({"bootstrap.servers": brokers})
    for made in admin.create_topics([NewTopic(topic, 1) for topic in topics]).values():
        made.result(30)


def main():
    """See the module."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--brokers", required=True)
    options.add_argument("--routes", required=True)
    options.add_argument("--create", action="store_true", help="only make the topics")
    options.add_argument("--unanswered", action="store_true", help="one text must not be answered 200")
    options.add_argument("--port", type=int)
    options.add_argument("--group", type=int, help="the peer's process group")
    options.add_argument("--texts", type=int, default=1000)
    options.add_argument("--connections", type=int, default=16)
    options.add_argument("--verify", action="store_true", help="read every text back")
    options = options.parse_args()
    with open(options.routes, encoding="utf-8") as lines:
        routes = dict(line.split() for line in lines)
    if options.unanswered:
        return asyncio.run(unanswered(options.port, next(requests(1))[1]))
    if options.create:
        create(options.brokers, sorted(set(routes.values())))
        return 0
    made = list(requests(options.texts))
    texts, bodies = [text for text, _ in made], [body for _, body in made]
    before = cpu_seconds(options.group)
    seconds = uvloop.run(post(options.port, options.connections, bodies))
    used = cpu_seconds(options.group) - before
    result = {
        "texts": options.texts,
        "connections": options.connections,
        "per_second": round(options.texts / seconds),
        "cpu_us_per_text": round(used / options.texts * 1e6, 1),
    }
    if options.verify:
        result |= verify(options.brokers, routes, texts)
    print(json.dumps(result))
    return 1 if any(result.get(what) for what in ("missing", "doubled", "wrong")) else 0


if __name__ == "__main__":
    sys.exit(main())
