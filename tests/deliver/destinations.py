"""Three departments: with a mailbox, with a receiver, and with a receiver and two mailboxes; and what came to each.

Comes in: a load. Goes out: waiting for what comes, and verdicts on it. Not here: what is done to them meanwhile.
"""

import contextlib

from arrivals import Judgement, until
from house import email
from mails import Mail
from mailserver import Kind, MailServer
from receiver import Receiver

# Keyword to department; the first is no keyword, so its department has all the rest.
KEYWORDS = {"hello": "contact-centre", "highways": "highways", "parking": "parking"}
MAILBOXES = {"contact-centre": ["contactcentre@example.gov.uk"],
             "parking": ["parking@example.gov.uk", "parking-office@example.gov.uk"]}
SENDERS = 48
# Texts of each sender between two events of a story; a third is each department's. Of those, as many come at least
# before the next event.
ROUND, SOME = 9, 90


class Destinations:
    def __init__(self, town, secret):
        self.town, self.server = town, MailServer(Kind(town.certificate))
        self.receivers = {name: Receiver(name, town.certificate, secret) for name in ("highways", "parking")}
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        for server in (self.server, *self.receivers.values()):
            self.stack.enter_context(server)
        return self

    def __exit__(self, *what):
        self.stack.close()

    def settings(self, secrets):
        """The server's section, and each department's."""
        def push(name):
            return self.town.push(self.receivers[name], secrets)

        return self.town.smtp(self.server), {
            "contact-centre": email(*MAILBOXES["contact-centre"]), "highways": push("highways"),
            "parking": f"{email(*MAILBOXES['parking'])}\n{push('parking')}"}

    def of(self, department):
        return [*MAILBOXES.get(department, []), *([department] if department in self.receivers else [])]

    def counts(self):
        """Different texts, by destination."""
        mailboxes = {mailbox: self.server.count(mailbox) for all_of in MAILBOXES.values() for mailbox in all_of}
        return {**mailboxes, **{name: receiver.count() for name, receiver in self.receivers.items()}}

    def more(self, what, load, but=()):
        """More texts, until each got some of them; of those in `but` nothing is asked."""
        names = [name for name in self.counts() if name not in but]
        enough = {name: self.counts()[name] + SOME for name in names}
        load.more(ROUND)
        until(f"{what}: {enough}", lambda: all(self.counts()[name] >= enough[name] for name in names), instead=self.counts)

    def complete(self, load):
        """Waits until each has as many as were answered."""
        load.is_brought()
        enough = {name: load.of(department) for department in KEYWORDS.values() for name in self.of(department)}
        until(f"all is delivered: {enough}", lambda: all(self.counts()[name] >= enough[name] for name in enough),
              instead=self.counts)

    @contextlib.contextmanager
    def all_held(self):
        """While each has taken something that it has not told."""
        turnstiles = [self.server.ways.turnstile, *(receiver.turnstile for receiver in self.receivers.values())]
        for turnstile in turnstiles:
            turnstile.close()
        try:
            until("something is held everywhere", lambda: all(turnstile.held() for turnstile in turnstiles))
            yield
        finally:
            for turnstile in turnstiles:
                turnstile.open()

    def judge(self, verdicts, load):
        for department, mailboxes in MAILBOXES.items():
            for mailbox in mailboxes:
                mails = [Mail(arrival.what) for arrival in self.server.arrivals.of[mailbox]]
                Judgement(verdicts, f"mails to {mailbox}", [
                    (mail.key, mail.text, mail.sender, mail.body) for mail in mails]).of(load, department)
                wrong = [mail.wrong(department, mailboxes) for mail in mails]
                verdicts.equal(f"what is wrong with mails to {mailbox}", [each for each in wrong if each][:2], [])
        for department, receiver in self.receivers.items():
            pushes = [arrival.what for arrival in receiver.arrivals.of[department]]
            Judgement(verdicts, f"pushes to {department}", [
                (pushed.event.get_id(), pushed.record["text"], pushed.record["from"], pushed.body)
                for pushed in pushes]).of(load, department)
            verdicts.equal(f"complaints of {department}", receiver.complaints[:2], [])
            judge_event(verdicts, department, pushes[0])
        verdicts.equal("passwords shown in the clear", self.server.in_the_clear, [])
        repeats = [self.server.arrivals.repeats(name) for name in self.server.arrivals.of]
        verdicts.holds("mails came again after kill -9", any(repeats))
        repeats = [receiver.arrivals.repeats(name) for name, receiver in self.receivers.items()]
        verdicts.holds("pushes came again after kill -9", any(repeats))
        self.judge_ids(verdicts)

    def judge_ids(self, verdicts):
        """The same text has one id, on whichever way it comes."""
        pushed = {each.what.record["text"]: each.key for each in self.receivers["parking"].arrivals.of["parking"]}
        mails = (Mail(arrival.what) for arrival in self.server.arrivals.of[MAILBOXES["parking"][0]])
        verdicts.equal("ids of mails are those of pushes", {mail.text: mail.id for mail in mails} == pushed, True)


def judge_event(verdicts, department, pushed):
    """What the library read of the headers, beside the record."""
    event = pushed.event
    verdicts.equal(f"{department}: event type", event.get_type(), "sms-router.message.received.v1")
    verdicts.equal(f"{department}: event source", event.get_source(), "https://sms.example.gov.uk/accounts/demo")
    verdicts.equal(f"{department}: event subject", event.get_subject(), "86555")
    verdicts.equal(f"{department}: department", pushed.record["department"], department)
    verdicts.equal(f"{department}: content type", pushed.headers["content-type"], "application/json")
    verdicts.holds(f"{department}: traceparent", "traceparent" in pushed.headers)
