"""Carriers of the live test: signed webhooks (Standard Webhooks) with made-up numbers and words.

Goes out: a steady stream of texts that touches everything the dashboards show: every department, a
retry now and then, a wrong signature, something unreadable, a long text in pieces.
Not here: what becomes of them.
"""

import base64
import collections
import hashlib
import hmac
import http.client
import itertools
import json
import threading
import time

NUMBER = "86555"
WORDS = ["Snow on Main St", "bin not emptied", "PARK PAY AB12 CDE", "book renewal", "When do you open?"]
KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
WRONG_KEY = bytes(range(1, 33))
PATH_SECRET = "path-secret-of-the-tests"
TRIES_MAX = 3
# For each router. One that waits for its answer holds up no other, as with real carriers: while Kafka is away a
# text that finds out whether it is back waits for a second and a half.
CONNECTIONS = 8


def signed(body, delivery, key=KEY):
    now = str(int(time.time()))
    mac = hmac.new(key, f"{delivery}.{now}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(mac).decode()
    return {"webhook-id": delivery, "webhook-timestamp": now, "webhook-signature": signature,
            "content-type": "application/json"}


def text_body(identity, words, part=None):
    sender = f"+4477009001{int(identity.rsplit('-', 1)[-1]) % 100:02}"
    data = {"id": identity, "from": sender, "to": NUMBER, "text": words}
    if part:
        data["part"] = part
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return json.dumps({"type": "sms.received", "timestamp": moment, "data": data}).encode()


class Carriers:
    """Threads that push texts until the `with` block ends; `codes` counts the answers by status."""

    def __init__(self, ports, rate):
        self.ports = ports
        self.set_rate(rate)
        self.codes, self.lock = collections.Counter(), threading.Lock()
        self.stopped = threading.Event()
        self.numbers = itertools.count(1)
        self.threads = [threading.Thread(target=self._push_on, args=(port,), daemon=True) for port in ports * CONNECTIONS]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join(timeout=30)

    def set_rate(self, texts_a_second):
        self.pause = len(self.ports) * CONNECTIONS / texts_a_second

    def _push_on(self, port):
        while not self.stopped.wait(self.pause):
            number = next(self.numbers)
            identity = f"text-{number}"
            words = WORDS[number % len(WORDS)]
            self.push(port, "council", identity, text_body(identity, words))
            if number % 25 == 0:
                self.push(port, "council", identity, text_body(identity, words))
            if number % 150 == 1:
                self._push_oddities(port, number, identity)
            if number % 60 == 2:
                self._push_pieces(port, number)

    def _push_oddities(self, port, number, identity):
        """A text under a known id, a receipt, half a body, a stranger's, and one twice without an id."""
        self.push(port, "council", identity, text_body(identity, "other words"))
        self.push(port, "council", identity, b'{"type": "sms.delivered", "data": {}}')
        self.push(port, "council", identity, b'{"type": "sms.received", "data": ')
        self.push(port, "council", identity, text_body(identity, "Snow"), WRONG_KEY)
        self.push(port, "gateway", identity, text_body(identity, "Snow"), WRONG_KEY)
        for _ in range(2):
            self.send(port, "GET", f"/inbound/kannel/{PATH_SECRET}?sender=447700900{number % 1000:03}&to={NUMBER}&message=Snow")

    def _push_pieces(self, port, number):
        for piece in (1, 2):
            identity = f"piece-{piece}-{number}"
            part = {"reference": number % 256, "total": 2, "number": piece}
            self.push(port, "gateway", identity, text_body(identity, f"snow {piece} ", part))

    def push(self, port, account, delivery, body, key=KEY):
        return self.send(port, "POST", f"/inbound/{account}", body, signed(body, delivery, key))

    def send(self, port, method, target, body=None, headers=None):
        """Once more where nobody answered: a carrier does the same. The status, 0 without an answer."""
        code = 0
        for _ in range(TRIES_MAX):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            try:
                connection.request(method, target, body=body, headers=headers or {})
                code = connection.getresponse().status
            except OSError:
                code = 0
            finally:
                connection.close()
            with self.lock:
                self.codes[code] += 1
            if code:
                break
        return code
