"""Texts of every kind through a real router to a real Kafka: every record and header fits the contracts,
and everything that the contracts name was there at least once.

Comes in: SMS_ROUTER_BIN; SMS_ROUTER_TEST_KAFKA, a broker whose topics nobody else writes to. Not here:
what a text's department is, or that none is lost; other tests ask that.
"""

import base64
import collections
import contextlib
import datetime
import hashlib
import hmac
import json
import os
import sys
import time
import urllib.parse

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from documents import Documents, places, seen
from router import PUBLIC_URL, Router, Verdicts, request
from signing import SECRET, event, headers

BROKERS = os.environ["SMS_ROUTER_TEST_KAFKA"]
WITHIN_S = 60
# What is named and was never sent here: why.
NOT_SEEN = {
    "dead-letter: .reason=undelivered": "nothing is delivered here",
    "record: .flags[]=rerouted": "there is no archive to move a text from; judge_routes sees it in the feed",
    "part: .media[].content_type": "no carrier that pushes pieces names the type of what it links to",
}
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DEPARTMENTS = ["contact-centre", "highways", "parking"]
# Smaller than a long text: then that is refused for good.
PARKING_BYTES_MAX = 1500

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
aliases = ["grit"]
department = "highways"
[[keyword]]
word = "gully"
match = "exact"
department = "highways"
[[keyword]]
word = "pot"
match = "prefix"
department = "highways"
[[keyword]]
word = "park"
department = "parking"
[[keyword]]
word = "flood"
departments = ["highways", "contact-centre"]
"""
# Its topic is never made, so its texts go to the standby.
AWAY = """
[[department]]
name = "waste"
failover = "contact-centre"
failover_after_s = 1
[[keyword]]
word = "bin"
department = "waste"
"""
ANY_NUMBER = """
[[number]]
number = "*"
default = "contact-centre"
"""


def settings():
    in_two_days = datetime.date.today() + datetime.timedelta(days=2)
    return f"""
[publish]
to = "kafka"
brokers = "{BROKERS}"
[publish.topics]
replication = 1
min_insync_replicas = 1
[parts]
wait_ms = 1500
texts_max = 8
[probe]
every_ms = 1000
[accounts.demo]
carrier = "generic"
secrets = [{{ file = "secrets/demo" }}]
[accounts.watched]
carrier = "generic"
signature = "monitor"
monitor_until = "{in_two_days}"
secrets = [{{ file = "secrets/demo" }}]
[accounts.kannel]
carrier = "kannel"
secrets = [{{ file = "secrets/path" }}]
[accounts.twilio]
carrier = "twilio"
secrets = [{{ file = "secrets/twilio" }}]
[accounts.other]
carrier = "form"
format = "json"
fields = {{ from = "from", text = "text", time = "at", media = "link", reference = "ref", total = "of", number = "no" }}
number = "86555"
secrets = [{{ file = "secrets/path" }}]
"""


class Carriers:
    """Whoever pushes; every request must be answered as expected."""

    def __init__(self, router, verdicts):
        self.router, self.verdicts, self.numbers = router, verdicts, iter(range(1, 10_000))

    def push(self, target, body, sent, expected=200, method="POST"):
        body = body if isinstance(body, bytes) else body.encode()
        status = self.router.post(f"/inbound/{target}", body, sent, method)
        self.verdicts.equal(f"a push to {target.split('?')[0]}", status, expected)

    def sms(self, text, account="demo", sender="+447700900123", to="86555", **more):
        """One text of the generic carrier; `more` are fields of its data."""
        data = {"id": f"m-{next(self.numbers)}", "from": sender, "to": to, "text": text, **more}
        body = event(data)
        proof = headers(body) if account == "demo" else {"content-type": "application/json"}
        self.push(account, body, {**proof, "traceparent": TRACEPARENT})
        return data["id"]

    def piece(self, text, reference, number, total=2, account="demo", **more):
        part = {"reference": reference, "total": total, "number": number}
        return self.sms(text, account, part=part, **more)

    def other(self, **fields):
        self.push("other/path-secret", json.dumps(fields), {"content-type": "application/json"})

    def kannel(self, **fields):
        self.push(f"kannel/path-secret?{urllib.parse.urlencode(fields)}", b"", {}, method="GET")

    def twilio(self, **fields):
        signed = f"{PUBLIC_URL}/inbound/twilio" + "".join(name + fields[name] for name in sorted(fields))
        tag = base64.b64encode(hmac.digest(b"twilio-token", signed.encode(), hashlib.sha1)).decode()
        self.push("twilio", urllib.parse.urlencode(fields), {
            "content-type": "application/x-www-form-urlencoded", "x-twilio-signature": tag})


def push_whole_texts(carriers):
    for text in ("Snow on Main St", "GRIT please", "gully", "pothole", "hello", "x" * 1600):
        carriers.sms(text)
    carriers.sms("Flood in Mill Lane")
    carriers.sms("Ünïcödé 雪 👩‍👩‍👧‍👦 \u200b")
    for wish in ("STOP", "start", "help"):
        carriers.sms(wish)
    carriers.sms("STOP", "watched")
    carriers.sms("park " + "x" * PARKING_BYTES_MAX)
    carriers.sms("half a character \ud83d")
    carriers.sms("snow to nobody", to="12345")
    again = carriers.sms("snow, once")
    carriers.sms("snow, another text with its id", id=again)
    carriers.piece("of too many", "big", 1, total=300)
    for _ in range(2):
        carriers.kannel(sender="07700 900123", to="86555", message="snow twice", ts="1763718000")
    carriers.twilio(
        MessageSid="MM1", From="+447700900123", To="86555", Body="snow picture", NumSegments="3", NumMedia="1",
        MediaUrl0="https://media.example/1", MediaContentType0="image/jpeg")
    carriers.other(**{"from": "council", "text": "snow, linked", "link": "https://media.example/2"})
    carriers.push("demo?batch=7", b'{"type": "sms.received"', headers('{"type": "sms.received"'), 400)
    carriers.push("watched", b"no JSON", {"content-type": "application/json"}, 400)


def push_pieces(carriers, topics):
    """Those that make a text first; the order of the rest does not matter to it."""
    carriers.piece("Snow in two ", "whole", 1)
    carriers.piece("pieces", "whole", 2)
    topics.until("the text is joined", lambda: topics.has("text", text="Snow in two pieces"))

    carriers.piece("Flood in two ", "flooded", 1)
    carriers.piece("pieces", "flooded", 2)
    topics.until("a text of two departments is joined", lambda: topics.has("text", text="Flood in two pieces"))

    def is_repeated():
        # Until the joiner has read that the text is sent, a twin is one more of its pieces.
        carriers.piece("pieces", "whole", 2)
        return topics.has("marker", marker="repeated")

    topics.until("a twin of a piece is noted", is_repeated)
    carriers.piece("snow unproven ", "watched", 1, account="watched")
    carriers.piece("pieces", "watched", 2, account="watched")
    carriers.piece("snow, half a character \ud83d", "raw", 1)
    carriers.piece("and the rest", "raw", 2)
    for _ in range(2):
        carriers.other(**{
            "from": "07700900123", "text": "snow, twice", "at": "2026-11-21T10:00:00Z",
            "link": "https://media.example/3", "ref": "r", "of": "2", "no": "1"})
    again = carriers.piece("snow, one id ", "reused", 1)
    carriers.piece("another piece with it", "reused", 1, id=again)
    carriers.piece("Snow, incomplete ", "late", 1)
    topics.until("it goes out incomplete", lambda: topics.has("text", text="Snow, incomplete "))
    carriers.piece("late", "late", 2)
    for number in range(16):
        carriers.piece(f"snow, no room {number} ", f"crowd-{number}", 1)
    topics.until("there was no room", lambda: topics.has("marker", marker="evict"))


class Topics:
    """All records of all topics, read as they come."""

    def __init__(self, documents):
        self.asyncapi = documents["asyncapi"]
        self.consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": "contracts", "enable.auto.commit": False})
        channels = self.asyncapi["channels"].values()
        self.channels = {channel["address"]: channel for channel in channels}
        own = [address for address in self.channels if "{" not in address]
        self.partitions = [(topic, 0) for topic in [f"sms.{name}" for name in DEPARTMENTS] + own]
        self.partitions += [("sms-router.parts", partition) for partition in (1, 2, 3)]
        self.consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in self.partitions])
        self.records = []

    def channel(self, topic):
        return self.channels.get(topic) or self.channels["sms.{department}"]

    def take(self):
        for message in self.consumer.consume(500, 0.2):
            if message.error():
                sys.exit(f"the consumer: {message.error()}")
            self.records.append(message)
        return self.records

    def take_all(self):
        """What lies there now."""
        ends = [self.consumer.get_watermark_offsets(TopicPartition(*at), timeout=30)[1] for at in self.partitions]
        self.until("all topics are read", lambda: len(self.take()) >= sum(ends))

    def message_of(self, record):
        """Which message of its channel it is, by the end of its type; None for none."""
        kind = dict(record.headers() or []).get("ce_type", b"").decode()
        messages = [at["$ref"].rpartition("/")[2] for at in self.channel(record.topic())["messages"].values()]
        named = self.asyncapi["components"]["messages"]
        fits = [key for key in messages if kind == f"sms-router.{named[key]['name']}"]
        return fits[0] if fits else None

    def has(self, key, **fields):
        def fits(record):
            return self.message_of(record) == key and fields.items() <= json.loads(record.value()).items()

        return any(fits(record) for record in self.take())

    def until(self, what, is_so):
        end = time.monotonic() + WITHIN_S
        while not is_so():
            if time.monotonic() > end:
                sys.exit(f"not within {WITHIN_S} s: {what}")


class Coverage:
    """Which places of the contracts were met."""

    def __init__(self, documents):
        messages = documents["asyncapi"]["components"]["messages"]
        files = {key: message["payload"]["$ref"] for key, message in messages.items()}
        self.schema_of = {key: file.removesuffix(".schema.json") for key, file in files.items()}
        self.expected = {f"{self.schema_of[key]}: {place}" for key, file in files.items()
                         for place in places(documents.closed[file])}
        shared = documents["asyncapi"]["components"]["schemas"]["headers"]["properties"]
        self.expected |= {f"header {name}" for name in shared} | {f"message {key}" for key in messages}
        self.met = collections.Counter()

    def note(self, key, sent, value):
        self.met.update(f"{self.schema_of[key]}: {place}" for place in seen(value))
        self.met.update(f"header {name}" for name in sent)
        self.met[f"message {key}"] += 1

    def lacking(self):
        return sorted(self.expected - self.met.keys())


def judge(record, topics, documents, coverage):
    """What is wrong with one record."""
    key = topics.message_of(record)
    if key is None:
        return [f"its type is none of its channel's: {record.headers()}"]
    at = ("asyncapi", "components", "messages", key)
    pairs = record.headers()
    sent = {name: value.decode() for name, value in pairs}
    value = json.loads(record.value())
    coverage.note(key, sent, value)
    found = documents.wrong(value, *at, "payload", is_closed=True)
    found += documents.wrong(sent, *at, "headers", is_closed=True)
    binding = documents["asyncapi"]["components"]["messages"][key]["bindings"]["$ref"].rpartition("/")[2]
    place = ("asyncapi", "components", "messageBindings", binding, "kafka", "key")
    found += documents.wrong(record.key().decode(), *place)
    if record.key().decode() != value.get("key", record.key().decode()):
        found.append("its key is not the record's")
    if len(sent) != len(pairs):
        found.append("a header is there twice")
    if sent.get("traceparent") != TRACEPARENT and "relates_to" not in value:
        begun = sent["ce_id"].replace("-", "")
        if sent.get("traceparent") != f"00-{begun}-{begun[16:]}-00":
            found.append("its trace is neither its carrier's nor its own")
    for header, field in (("ce_id", "id"), ("ce_time", "received_at"), ("traceparent", "traceparent")):
        if header in sent and field in value and sent[header] != value[field]:
            found.append(f"{header} is not its {field}")
    return found


def prepare(router):
    """Topics as `setup` makes them, and what makes some of them fail."""
    made = router.run("setup")
    if made.returncode != 0:
        sys.exit(f"setup: {made.stdout.decode()}{made.stderr.decode()}")
    admin = AdminClient({"bootstrap.servers": BROKERS})
    limit = ConfigEntry("max.message.bytes", str(PARKING_BYTES_MAX), incremental_operation=AlterConfigOpType.SET)
    parking = ConfigResource(ResourceType.TOPIC, "sms.parking", incremental_configs=[limit])
    for change in admin.incremental_alter_configs([parking]).values():
        change.result(30)
    router.routes.write_text(ROUTES + AWAY)
    return admin


def judge_bindings(verdicts, topics, admin):
    """What `setup` makes is what the channels say; replication is the test's own."""
    known = admin.list_topics(timeout=30).topics
    for topic in sorted({topic for topic, _ in topics.partitions}):
        binding = topics.channel(topic)["bindings"]["kafka"]
        resource = ConfigResource(ResourceType.TOPIC, topic)
        entries = admin.describe_configs([resource])[resource].result(30)
        wanted = binding["topicConfiguration"]
        verdicts.equal(f"{topic}: partitions", len(known[topic].partitions), binding["partitions"])
        verdicts.equal(f"{topic}: cleanup.policy", entries["cleanup.policy"].value.split(","), wanted["cleanup.policy"])
        verdicts.equal(f"{topic}: retention.ms", int(entries["retention.ms"].value), wanted["retention.ms"])


def spoil(topics):
    """An entry that the joiner cannot read; ours, so it is not judged."""
    producer = Producer({"bootstrap.servers": BROKERS})
    producer.produce("sms-router.parts", b"{", headers={"ce_type": b"sms-router.part.v1"}, key=b"spoiled")
    producer.flush(30)


def holds_nothing(router):
    return b"sms_router_pieces_held 0\n" in request(router.monitoring, "GET", "/metrics")[1]


def judge_feed(verdicts, router, documents):
    """In this profile the feed says where the texts are."""
    status, body = request(router.api, "GET", "/v1/departments/highways/messages", headers={
        "Authorization": "Bearer feed-token-of-the-tests-0123456789"})
    documented = documents["openapi"]["paths"]["/v1/departments/{name}/messages"]["get"]["responses"]
    verdicts.equal("the feed is not here", (status, b"sms.highways" in body, "404" in documented), (404, True, True))


def main():
    documents, verdicts = Documents(), Verdicts()
    router = Router(settings(), {"demo": SECRET, "path": "path-secret", "twilio": "twilio-token"}, ROUTES)
    admin, topics, coverage = prepare(router), Topics(documents), Coverage(documents)
    with contextlib.closing(topics.consumer), router:
        judge_feed(verdicts, router, documents)
        carriers = Carriers(router, verdicts)
        push_whole_texts(carriers)
        carriers.sms("bin, not emptied")
        spoil(topics)
        push_pieces(carriers, topics)
        topics.until("a text on the standby's topic", lambda: topics.has("text", text="bin, not emptied"))
        router.routes.write_text(ROUTES + AWAY + ANY_NUMBER)
        replayed = router.run("dead-letter", "replay", "--reason", "unknown_number")
        verdicts.equal("a letter is called back", replayed.returncode, 0)
        topics.until("no piece is held", lambda: topics.take() and holds_nothing(router))
        topics.until("a synthetic text", lambda: topics.has("probe"))
        topics.take_all()
        for record in topics.records:
            if record.key() != b"spoiled":
                where = f"{record.topic()}/{record.partition()}/{record.offset()}"
                verdicts.equal(where, judge(record, topics, documents, coverage), [])
        verdicts.equal("what the contracts name and no record has", coverage.lacking(), sorted(NOT_SEEN))
        judge_bindings(verdicts, topics, admin)
    print(f"{len(topics.records)} records judged")
    verdicts.end()


if __name__ == "__main__":
    main()
