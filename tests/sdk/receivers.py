"""Where departments' texts arrive, on loopback: a mail server (aiosmtpd) and a receiver of pushes.

Goes out: both with their ports and what they took, ended with the `with` block. Not here: whether what comes is a good
mail or a well signed push.
"""

import contextlib
import email
import http.server
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from router import free_port

HERE = "127.0.0.1"


class MailServer:
    """`taken`: (address, Message-ID) in their order; who is in `refused` has no mailbox here (550). With `tls` and
    `password`, STARTTLS and the password are asked for."""

    def __init__(self, tls=None, password=None):
        self.refused, self.taken, self.port = set(), [], free_port()
        right = lambda given: AuthResult(success=given.password == password.encode(), handled=False)
        asked = {"authenticator": lambda *question: right(question[-1]), "auth_required": True} if password else {}
        self.controller = Controller(self, HERE, self.port, tls_context=tls, require_starttls=tls is not None, **asked)

    def __enter__(self):
        self.controller.start()
        return self

    def __exit__(self, *_):
        self.controller.stop()

    @contextlib.contextmanager
    def refusing(self, address):
        self.refused.add(address)
        yield
        self.refused.discard(address)

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        if address in self.refused:
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope):
        mail = email.message_from_bytes(envelope.content)
        self.taken += [(address, mail["message-id"]) for address in envelope.rcpt_tos]
        return "250 OK"


class Receiver:
    """`taken`: the `webhook-id`s in their order. The first `failing` are answered 503, then all have `status`."""

    def __init__(self, failing=0):
        self.failing, self.status, self.taken, self.port = failing, 204, [], free_port()
        receiver, lock = self, threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers.get("content-length") or 0))
                with lock:
                    code = 503 if receiver.failing else receiver.status
                    receiver.failing = max(receiver.failing - 1, 0)
                    if code < 300:
                        receiver.taken.append(self.headers["webhook-id"])
                self.send_response(code)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((HERE, self.port), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self):
        return f"http://{HERE}:{self.port}/texts"
