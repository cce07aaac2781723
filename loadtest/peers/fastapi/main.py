"""A webhook as a council's own developers would write it: FastAPI and confluent-kafka.

POST /inbound/demo takes an `sms.received` event and answers 200 once Kafka has acknowledged the record
(acks=all, idempotent). No signature is checked. BROKERS and ROUTES come from the environment, and
LINGER_MS: 1 cost least of 0, 0.5, 1 and librdkafka's 5.
"""

import asyncio
import os
import threading
import uuid
from contextlib import asynccontextmanager
from datetime import datetime, timezone

from confluent_kafka import Producer
from fastapi import FastAPI, Response
from pydantic import BaseModel, ConfigDict, Field

with open(os.environ["ROUTES"], encoding="utf-8") as lines:
    ROUTES = dict(line.split() for line in lines if line.strip())

producer = Producer(
    {
        "bootstrap.servers": os.environ["BROKERS"],
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": float(os.environ.get("LINGER_MS", "1")),
    }
)


class Text(BaseModel):
    """`data` of the event."""

    id: str
    sender: str = Field(alias="from")
    to: str
    text: str


class Event(BaseModel):
    """The body of the request."""

    type: str
    timestamp: datetime
    data: Text


class Rule(BaseModel):
    """Why a text went where it went."""

    kind: str
    match: str


class Record(BaseModel):
    """The record's value: the same fields as sms-router's, so about the same size."""

    model_config = ConfigDict(serialize_by_alias=True)

    schema_version: int = 1
    id: str
    account: str = "demo"
    carrier: str = "generic"
    carrier_message_id: str
    sender: str = Field(serialization_alias="from")
    from_raw: str
    to: str
    to_raw: str
    text: str
    keyword: str
    rest: str
    department: str
    rule: Rule
    routes_version: str = "000000000000"
    sent_at: datetime
    received_at: datetime


def record(event: Event, keyword: str, topic: str) -> Record:
    """The record of a text whose first word is `keyword`."""
    text = event.data
    return Record(
        id=str(uuid.uuid4()),
        carrier_message_id=text.id,
        sender=text.sender,
        from_raw=text.sender,
        to=text.to,
        to_raw=text.to,
        text=text.text,
        keyword=keyword,
        rest=text.text[len(keyword) :].lstrip(),
        department=topic,
        rule=Rule(kind="word", match=keyword),
        sent_at=event.timestamp,
        received_at=datetime.now(timezone.utc),
    )


async def publish(topic: str, key: str, value: bytes) -> None:
    """Returns when Kafka has the record; the delivery report comes from the polling thread."""
    loop = asyncio.get_running_loop()
    acknowledged = loop.create_future()

    def settle(error):
        if acknowledged.done():
            return
        if error is None:
            acknowledged.set_result(None)
        else:
            acknowledged.set_exception(RuntimeError(error.str()))

    producer.produce(topic, value, key, on_delivery=lambda error, _: loop.call_soon_threadsafe(settle, error))
    await acknowledged


def poll(ended: threading.Event) -> None:
    """Delivery reports are called from here."""
    while not ended.is_set():
        producer.poll(0.1)


@asynccontextmanager
async def lifespan(_: FastAPI):
    """Brokers are known before the port opens; what is under way is sent before the process ends."""
    producer.list_topics(timeout=20)
    ended = threading.Event()
    poller = threading.Thread(target=poll, args=(ended,))
    poller.start()
    yield
    producer.flush(10)
    ended.set()
    poller.join()


app = FastAPI(lifespan=lifespan, openapi_url=None)


@app.post("/inbound/demo")
async def inbound(event: Event) -> Response:
    """One text."""
    words = event.data.text.split(maxsplit=1)
    keyword = words[0].upper() if words else ""
    topic = ROUTES.get(keyword) or ROUTES["*"]
    value = record(event, keyword, topic).model_dump_json().encode()
    await publish(topic, event.data.sender, value)
    return Response(status_code=200)
