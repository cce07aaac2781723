"""A mail server (PyPI's aiosmtpd) that wants TLS, a user and a password, and can be away, slow, strict or somebody else.

Goes out: each mail it took, with the mailbox, in the order in which they came; what was said to it in the clear.
What it does to mails is asked of `Ways`, which a test changes while it runs. Not here: what a mail should look like.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import logging
import re
import ssl
import threading
import warnings

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from arrivals import Arrivals, Turnstile, until
from router import free_port

# It says of every failed handshake, which some are here to be, and warns of servers that some shall be.
logging.getLogger("mail").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", "Requiring AUTH", UserWarning)
USER, PASSWORD = "sms-router", "password-of-the-tests"
MESSAGE_ID = re.compile(rb"^Message-ID: <([^>\r\n]*)>\r$", re.IGNORECASE | re.MULTILINE)
OK, LATER, NEVER = "250 OK", "451 4.7.1 Greylisted, another time", "550 5.1.1 No such mailbox"


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a server shows at the door. `certificate` is what trustme issued, or None: no TLS at all."""

    certificate: object
    is_implicit: bool = False
    wants_password: bool = True

    def context(self):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.certificate.configure_cert(context)
        return context


class Ways:
    """What it does to mailboxes and mails; all may be changed at any time."""

    def __init__(self):
        self.mailboxes = {}
        self.mail = lambda content: OK
        self.turnstile = Turnstile()


class _Protocol(SMTP):
    """Keeps its transport in the server's list, so that the server can go away at once."""

    def __init__(self, server, *arguments, **options):
        super().__init__(*arguments, **options)
        self.of = server

    def connection_made(self, transport):
        if self._original_transport is None:
            self.of.transports.add(transport)
            self.of.connections += not self.of.kind.is_implicit
        super().connection_made(transport)

    def connection_lost(self, error):
        self.of.transports.discard(self._original_transport or self.transport)
        super().connection_lost(error)


class MailServer:
    """Runs in a thread of its own, on one port, as the kind it is told to be."""

    def __init__(self, kind):
        self.port, self.kind, self.ways, self.arrivals = free_port(), kind, Ways(), Arrivals()
        self.connections, self.greetings, self.transports = 0, 0, set()
        # (user, password) of every try; and those of them that came unencrypted.
        self.passwords, self.in_the_clear = [], []
        self.password = PASSWORD
        self.loop, self.server = asyncio.new_event_loop(), None
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        self.come()
        return self

    def __exit__(self, *_):
        self.go()
        self._run(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def come(self, kind=None):
        """Listens, as another kind if told so."""
        self.kind = kind or self.kind
        self._run(self._come())

    def go(self):
        """Away: nobody listens, and every connection is cut."""
        self._run(self._go())

    def _run(self, task):
        return asyncio.run_coroutine_threadsafe(task, self.loop).result(timeout=30)

    async def _come(self):
        implicit = self.kind.context() if self.kind.is_implicit else None
        if implicit:
            # The protocol hears of a connection after the handshake only, and some end before.
            implicit.sni_callback = self._greeted
        self.server = await self.loop.create_server(self._protocol, "127.0.0.1", self.port, ssl=implicit)

    async def _go(self):
        self.server.close()
        for transport in list(self.transports):
            transport.abort()
        await self.server.wait_closed()

    async def _end(self):
        tasks = asyncio.all_tasks(self.loop) - {asyncio.current_task(self.loop)}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _greeted(self, *_):
        self.connections += 1

    def _protocol(self):
        has_starttls = bool(self.kind.certificate) and not self.kind.is_implicit
        return _Protocol(
            self, self, loop=self.loop, hostname="mail.example.gov.uk", authenticator=self._authenticate,
            tls_context=self.kind.context() if has_starttls else None, require_starttls=has_starttls,
            auth_required=self.kind.wants_password, auth_require_tls=has_starttls)

    def _authenticate(self, server, session, envelope, mechanism, data):
        is_login = isinstance(data, LoginPassword)
        said = (data.login.decode(), data.password.decode()) if is_login else (mechanism, repr(data))
        self.passwords.append(said)
        if session.ssl is None and not self.kind.is_implicit:
            self.in_the_clear.append(said)
        return AuthResult(success=said == (USER, self.password), handled=False)

    # ---- what aiosmtpd asks

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        self.greetings += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = self.ways.mailboxes.get(address, OK)
        answer = answer() if callable(answer) else answer
        if answer == OK:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server, session, envelope):
        answer = self.ways.mail(envelope.content)
        if answer == OK:
            found = MESSAGE_ID.findall(envelope.content)
            for mailbox in envelope.rcpt_tos:
                self.arrivals.add(mailbox, b" ".join(found).decode(), envelope)
            # Taken, and not yet told so.
            await asyncio.wrap_future(self.ways.turnstile.pass_one())
        return answer

    def count(self, mailbox):
        return self.arrivals.count(mailbox)

    @contextlib.contextmanager
    def away(self):
        self.go()
        try:
            yield
        finally:
            self.come()

    def is_tried(self, times):
        """Waits until it was so often connected to again, or has got something by that."""
        enough = self.connections + times
        count = sum(map(self.count, self.arrivals.of))
        until(f"the mail server is tried {times} times more", lambda: self.connections >= enough
              or sum(map(self.count, list(self.arrivals.of))) > count)


def one_in(every, answer):
    """An answer for the first mail, and for each so many after it; OK for the others."""
    numbers = itertools.count()
    return lambda content: OK if next(numbers) % every else answer


def at_most(times, answer):
    """An answer for the first few, then none but OK."""
    left = iter([answer] * times)
    return lambda: next(left, OK)
