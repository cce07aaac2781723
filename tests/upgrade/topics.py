"""What lies on topics, all of it from the beginning. Comes in: SMS_ROUTER_TEST_KAFKA, a broker of this part's own."""

import contextlib
import json
import os
import time
import uuid

from confluent_kafka import Consumer, TopicPartition

BROKERS = os.environ["SMS_ROUTER_TEST_KAFKA"]
PUBLISH = f"""
[publish]
to = "kafka"
brokers = "{BROKERS}"
journal_after_ms = 300
[publish.properties]
"session.timeout.ms" = "6000"
"heartbeat.interval.ms" = "500"
[publish.topics]
replication = 1
min_insync_replicas = 1
"""


def unique(name):
    """A prefix that no topic has, also on a broker that was tested with before."""
    return f"{name}-{uuid.uuid4().hex[:8]}"


def routes(prefix):
    return f"""
[[department]]
name = "highways"
topic = "{prefix}.highways"
[[number]]
number = "86555"
default = "highways"
"""


def records(topic):
    """The values, each partition's in its order."""
    reader = Consumer({"bootstrap.servers": BROKERS, "group.id": "upgrade-judge", "enable.auto.commit": False})
    with contextlib.closing(reader):
        partitions = reader.list_topics(topic, timeout=30).topics[topic].partitions
        places = [TopicPartition(topic, partition, 0) for partition in partitions]
        expected = sum(reader.get_watermark_offsets(place, timeout=30)[1] for place in places)
        reader.assign(places)
        found, end = [], time.monotonic() + 30
        while len(found) < expected and time.monotonic() < end:
            found += [message for message in reader.consume(500, 0.2) if not message.error()]
        return [json.loads(message.value()) for message in found]


def letters():
    """What is in dead-letter."""
    return records("sms-router.dead-letter")
