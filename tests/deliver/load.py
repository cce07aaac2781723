"""Residents, many of them, each with many texts, one after the other through the webhook of the `generic` carrier.

Goes out: which texts were begun and which were answered 200. A text is pushed again until it is. Not here: deliveries.
"""

import base64
import datetime
import http.client
import itertools
import json
import threading

from standardwebhooks.webhooks import Webhook

from arrivals import until

SECRET = "whsec_" + base64.b64encode(bytes(range(24))).decode()
NUMBER = "86555"
THREADS = 8
_ids = itertools.count(1)


def body_of(sender, text, to=NUMBER, identity=None):
    data = {"id": identity or f"text-{next(_ids)}", "from": sender, "to": to, "text": text}
    return json.dumps({"type": "sms.received", "timestamp": "2026-11-21T10:00:00Z", "data": data})


def signed(body):
    at = datetime.datetime.now(datetime.timezone.utc)
    delivery = f"push-{next(_ids)}"
    return {"content-type": "application/json", "webhook-id": delivery,
            "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": Webhook(SECRET).sign(delivery, at, body)}


def push(router, sender, text, **more):
    """One text; the status."""
    body = body_of(sender, text, **more)
    return router.post("/inbound/demo", body.encode(), signed(body))


class Load:
    """`keywords`: keyword to department; texts take turns. `router` may be killed meanwhile: they are pushed again."""

    def __init__(self, router, keywords, senders):
        self.port, self.keywords = router.inbound, list(keywords.items())
        # Text to department; text to sender and number.
        self.begun, self.answered, self.numbers = {}, {}, {}
        self.senders, self.texts_each, self.stopped = senders, 0, threading.Event()
        names = [f"+4477009{number:05}" for number in range(senders)]
        self.threads = [
            threading.Thread(target=self._bring, args=(names[place::THREADS],), daemon=True) for place in range(THREADS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join(timeout=60)

    def sender_of(self, text):
        return self.numbers[text][0]

    def number_of(self, text):
        return self.numbers[text][1]

    def of(self, department):
        return sum(of == department for of in list(self.answered.values()))

    def more(self, texts_each):
        """Every sender sends so many more; they are not waited for."""
        self.texts_each += texts_each

    def is_brought(self):
        """Waits until all are answered."""
        until(f"{self.texts_each} texts of each sender are answered",
              lambda: len(self.answered) == self.senders * self.texts_each)

    def _bring(self, senders):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        for number in itertools.count():
            while number >= self.texts_each and not self.stopped.is_set():
                self.stopped.wait(0.02)
            for place, sender in enumerate(senders):
                keyword, department = self.keywords[(number + place) % len(self.keywords)]
                text = f"{keyword} {sender[-5:]} text {number} ❄"
                self.numbers[text], self.begun[text] = (sender, number), department
                body = body_of(sender, text)
                while not self.stopped.is_set() and not self._is_answered(connection, body):
                    self.stopped.wait(0.05)
                if self.stopped.is_set():
                    return connection.close()
                self.answered[text] = department

    def _is_answered(self, connection, body):
        try:
            connection.request("POST", "/inbound/demo", body.encode(), signed(body))
            answer = connection.getresponse()
            answer.read()
            return answer.status == 200
        except (OSError, http.client.HTTPException):
            connection.close()
            return False
