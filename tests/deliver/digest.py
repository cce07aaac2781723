"""Texts that share a mail: a digest, and what is beyond an hour's mails. A digest's minute passes beside another story.

Comes in: a town. Goes out: verdicts; nothing that is collected is lost by kill -9, and its order holds.
"""

import contextlib

from arrivals import until
from house import House
from load import push
from mails import Mail, lines
from mailserver import Kind, MailServer

MAILBOXES = {"digest": "digest@example.gov.uk", "flood": "flood@example.gov.uk"}
# Texts of one mail, at most (README); and of an hour's single mails.
FULL, HOURLY = 200, 3
REST = 5
RESIDENTS = ["+447700900601", "+447700900602", "+447700900603"]


class Digests:
    """Entered, it has seen the full ones, and is killed and started again while the rest is collected."""

    def __init__(self, verdicts, town):
        self.verdicts, self.server = verdicts, MailServer(Kind(town.certificate))
        self.house = House(town.smtp(self.server), {
            "contact-centre": "",
            "digest": f'email = {{ to = ["{MAILBOXES["digest"]}"], digest_minutes = 1 }}',
            "flood": f'email = {{ to = ["{MAILBOXES["flood"]}"], hourly_max = {HOURLY} }}'})
        self.sent, self.stack = {name: [] for name in MAILBOXES}, contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.server)
            stack.enter_context(self.house)
            self.begin()
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *what):
        self.stack.close()

    def push(self, department, count):
        for _ in range(count):
            number = len(self.sent[department])
            text = f"{department} text {number}\nsecond line ❄"
            self.verdicts.equal(f"answer to {text!r}", push(self.house, RESIDENTS[number % len(RESIDENTS)], text), 200)
            self.sent[department].append(text)

    def mails(self, department):
        return [Mail(arrival.what) for arrival in self.server.arrivals.of[MAILBOXES[department]]]

    def begin(self):
        self.push("flood", HOURLY)
        until("the hour's mails come, one by one", lambda: len(self.mails("flood")) == HOURLY)
        self.push("flood", FULL + 1)
        self.push("digest", FULL + REST)
        until("the mail of what is beyond comes when it is full", lambda: len(self.mails("flood")) == HOURLY + 1)
        until("the digest comes when it is full", lambda: len(self.mails("digest")) >= 1)
        until("the last one is beyond too", lambda: self.house.metric("delivery_oldest_seconds", "flood", "email") > 0)
        self.verdicts.equal("mails of the hour", len(self.mails("flood")), HOURLY + 1)
        self.house.kill()
        self.house.__enter__()

    def judge(self):
        """After the minute."""
        until("the rest of the digest comes", lambda: REST in [len(mail.texts()) for mail in self.mails("digest")], 120)
        self.judge_digest()
        self.judge_flood()

    def judge_digest(self):
        mails = self.mails("digest")
        arrived = []
        for mail in mails:
            found = mail.wrong("digest", [MAILBOXES["digest"]], is_one=False)
            self.verdicts.equal("what is wrong with a digest", found, {})
            arrived += [text for text in mail.texts() if text not in arrived]
            self.verdicts.holds("a digest says whose texts they are", all(
                resident in mail.body for resident in RESIDENTS))
        for resident in range(len(RESIDENTS)):
            mine = self.sent["digest"][resident::len(RESIDENTS)]
            self.verdicts.equal("a resident's texts in digests", [text for text in arrived if text in mine], mine)
        self.verdicts.equal("texts in digests", len(arrived), FULL + REST)

    def judge_flood(self):
        mails = self.mails("flood")
        single, together = mails[:HOURLY], mails[HOURLY]
        self.verdicts.equal("an hour's single mails", sorted(mail.text for mail in single), self.sent["flood"][:HOURLY])
        for mail in single:
            self.verdicts.equal("what is wrong with one", mail.wrong("flood", [MAILBOXES["flood"]]), {})
        expected = [lines(text) for text in self.sent["flood"][HOURLY:HOURLY + FULL]]
        self.verdicts.equal("those beyond, together", together.texts(), expected)
        found = together.wrong("flood", [MAILBOXES["flood"]], is_one=False)
        self.verdicts.equal("what is wrong with the mail of them", found, {})
        self.verdicts.holds("it says why", f"limit of mails in an hour ({HOURLY})" in together.body, together.body[:200])
        # It begins a new hour, or waits for its end where the texts before it came again.
        until("the last one has come, or waits and is told to", lambda: self.house.metric(
            "delivery_oldest_seconds", "flood", "email") > 0 or self.mails("flood")[-1].text == self.sent["flood"][-1])
