"""A department's own receiver over HTTPS. PyPI's `standardwebhooks` says whether a push is believed, PyPI's `cloudevents`
whether it is an event.

Goes out: each push that was proven, in the order in which they came; what was wrong with the others. How it answers is
told beforehand, push by push. Not here: what a record should say.
"""

import contextlib
import http.server
import json
import ssl
import threading
import typing

from cloudevents.core.bindings.http import HTTPMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from arrivals import Arrivals, Turnstile
from router import free_port

# An answer is (status, headers); or the connection ends without one; or the push is taken, and nothing said until the
# client has lost patience.
DROPPED, SILENT = "dropped", "silent"


class Pushed(typing.NamedTuple):
    headers: dict
    event: object
    record: dict
    body: bytes


class Receiver:
    """`name` is what its pushes are noted under. `secret` may be changed, and `answers` be added to, at any time."""

    def __init__(self, name, certificate, secret):
        self.name, self.certificate, self.secret = name, certificate, secret
        self.port, self.arrivals, self.turnstile = free_port(), Arrivals(), Turnstile()
        # Answers to the next pushes; then `always`, and 204 when there is none.
        self.answers, self.always, self.lock = [], None, threading.Lock()
        # Connections, requests whatever they are, and complaints about those that were none of ours.
        self.connections, self.requests, self.complaints = 0, 0, []
        self.now, self.at_once_max = 0, 0

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}/texts"

    def __enter__(self):
        self.come()
        return self

    def __exit__(self, *_):
        self.go()

    def come(self, certificate=None):
        self.certificate = certificate or self.certificate
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.certificate.configure_cert(context)
        self.server = _Server(("127.0.0.1", self.port), self, context)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def go(self):
        """Away: nobody listens, and every connection is cut."""
        self.turnstile.open()
        self.server.shutdown()
        self.server.server_close()
        self.server.cut()

    @contextlib.contextmanager
    def at_once(self):
        """Counts a request while it lasts."""
        with self.lock:
            self.requests, self.now = self.requests + 1, self.now + 1
            self.at_once_max = max(self.at_once_max, self.now)
        try:
            yield
        finally:
            with self.lock:
                self.now -= 1

    def next_answer(self):
        with self.lock:
            return self.answers.pop(0) if self.answers else self.always or (204, {})

    def count(self):
        return self.arrivals.count(self.name)

    def hear(self, path, headers, body):
        """The answer; a push that is taken is noted."""
        try:
            Webhook(self.secret).verify(body, headers)
        except WebhookVerificationError as error:
            self.complaints.append(f"not believed: {error}")
            return 401, {}
        event = from_binary(HTTPMessage(headers, body), JSONFormat())
        record = event.get_data()
        if isinstance(record, (bytes, str)):
            record = json.loads(record)
        if (event.get_id(), path) != (headers["webhook-id"], "/texts") or record["id"] != event.get_id():
            self.complaints.append(f"ids or path differ: {path}")
        answer = self.next_answer()
        if answer is SILENT or answer is not DROPPED and answer[0] < 300:
            self.arrivals.add(self.name, headers["webhook-id"], Pushed(headers, event, record, body))
        return answer


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address, receiver, context):
        self.receiver, self.context, self.open = receiver, context, set()
        super().__init__(address, _Handler)

    def get_request(self):
        connection, address = super().get_request()
        self.receiver.connections += 1
        self.open.add(connection)
        return connection, address

    def finish_request(self, request, client_address):
        # In its own thread, so that a handshake holds up no other.
        try:
            encrypted = self.context.wrap_socket(request, server_side=True)
        except OSError:
            return
        self.open.discard(request)
        self.open.add(encrypted)
        with encrypted:
            super().finish_request(encrypted, client_address)
        self.open.discard(encrypted)

    def handle_error(self, request, client_address):
        """A client that left; what it should have done is judged by what came."""

    def cut(self):
        for connection in list(self.open):
            try:
                connection.shutdown(2)
            except OSError:
                pass


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers["content-length"]))
        with receiver.at_once():
            self.hear(receiver, body)

    def hear(self, receiver, body):
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = receiver.hear(self.path, headers, body)
        # Taken or not, and not yet told so.
        receiver.turnstile.pass_one().result()
        if answer is SILENT:
            self.rfile.read(1)
        if answer in (DROPPED, SILENT):
            self.close_connection = True
            return
        status, more = answer
        self.send_response(status)
        for name, value in {"content-length": "0", **more}.items():
            if status != 204 or name != "content-length":
                self.send_header(name, value)
        self.end_headers()

    def do_GET(self):
        self.server.receiver.complaints.append("GET")
        self.send_error(405)

    def log_message(self, *_):
        pass
