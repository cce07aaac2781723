"""Destinations that refuse: for good, for a while, for one resident, forever (410), by sending elsewhere; and one that
stays away for longer than is tried. Each is one department's own matter.

What nobody takes is in dead-letter as `undelivered`, without an address, counted, and called back once the cause is
mended; what is refused for a while comes, in its order.
"""

import contextlib

from arrivals import until
from house import House, email, judge_words, metric
from load import push
from mails import Mail
from mailserver import LATER, NEVER, OK, Kind, MailServer, at_most
from receiver import Receiver

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSByZWNlaXZlcnMgb2YgdGhlIHRlc3Rz"
GOOD, GONE, GREY, SLOW = (f"{name}@example.gov.uk" for name in ("good", "gone", "grey", "contactcentre"))
# Pushes on their way to one receiver.
AT_ONCE = 3
RECEIVERS = ("open", "closed", "moved")
RESIDENT, OTHER = "+447700900555", "+447700900556"


class Story:
    def __init__(self, verdicts, town, server, receivers):
        self.verdicts, self.server, self.receivers = verdicts, server, receivers
        self.house = House(town.smtp(server), {
            "contact-centre": email(SLOW), "both": email(GOOD, GONE), "gone": email(GONE), "grey": email(GREY),
        } | {
            name: town.push(receiver, ["push"], f", in_flight_max = {AT_ONCE}") for name, receiver in receivers.items()
        }, {"push": SECRET})
        self.number = 0

    def push(self, department, sender=RESIDENT):
        """The text, once it is answered."""
        self.number += 1
        text = f"{department} {self.number} text {self.number} ❄"
        self.verdicts.equal(f"answer to {department}", push(self.house, sender, text), 200)
        return text

    def mails(self, mailbox):
        return [Mail(arrival.what).text for arrival in self.server.arrivals.of[mailbox]]

    def pushes(self, name):
        return [arrival.what.record["text"] for arrival in self.receivers[name].arrivals.of[name]]

    def counted(self, department, channel, outcome):
        return self.house.metric("deliveries_total", department, channel, outcome=outcome)

    # ---- mailboxes

    def refused_for_good(self):
        """By one mailbox of two, and by the only one."""
        self.server.ways.mailboxes[GONE] = NEVER
        texts = [self.push("both"), self.push("gone"), self.push("both"), self.push("gone")]
        until("the good mailbox has both", lambda: self.mails(GOOD) == texts[::2])
        for department in ("both", "gone"):
            until(f"{department}: given up", lambda: self.counted(department, "email", "failed") == 2)
        letters = self.house.letters()
        self.verdicts.equal("dead letters of e-mail", len(letters), 4)
        details = " ".join(letter["detail"] for letter in letters)
        for word, count in (("email to both", 2), ("email to gone", 2), ("550", 4), ("@", 0), ("mailbox has", 0)):
            self.verdicts.equal(f"{word!r} in what dead-letter says", details.count(word), count)
        self.verdicts.equal("mails to the mailbox that is gone", self.mails(GONE), [])
        self.verdicts.equal("who gives up goes on", self.house.metric("delivery_stopped", "gone", "email"), 0)

    def refused_for_a_while(self):
        """Greylisted; others of the server get theirs meanwhile."""
        self.server.ways.mailboxes[GREY] = LATER
        texts = [self.push("grey"), self.push("grey")]
        until("it is tried", lambda: self.counted("grey", "email", "retried") >= 2)
        before = len(self.mails(SLOW))
        other = self.push("contact-centre", OTHER)
        until("another department's mail comes meanwhile", lambda: self.mails(SLOW)[before:] == [other])
        self.verdicts.equal("mails to the mailbox that is greylisted", self.mails(GREY), [])
        self.server.ways.mailboxes[GREY] = at_most(2, LATER)
        until("they come in the end", lambda: self.mails(GREY) == texts)

    def one_resident(self):
        """A mail that is refused for a while holds up its sender's next, and nobody else's of that department."""
        before = len(self.mails(SLOW))
        self.server.ways.mail = lambda content: LATER if RESIDENT.encode() in content else OK
        texts = [self.push("contact-centre") for _ in range(3)]
        others = [self.push("contact-centre", OTHER) for _ in range(3)]
        until("the other's come", lambda: self.mails(SLOW)[before:] == others)
        tried = self.counted("contact-centre", "email", "retried")
        until("the first is tried again", lambda: self.counted("contact-centre", "email", "retried") > tried)
        self.server.ways.mail = lambda content: OK
        until("all have come, in order", lambda: self.mails(SLOW)[before:] == others + texts)

    def one_mail(self):
        """Refused after DATA, for good: it alone is given up."""
        before, given_up = len(self.mails(SLOW)), self.counted("contact-centre", "email", "failed")
        first = self.push("contact-centre")
        until("the first has come", lambda: self.mails(SLOW)[before:] == [first])
        refused = at_most(1, "554 5.6.0 Not like this")
        self.server.ways.mail = lambda content: refused()
        self.push("contact-centre")
        last = self.push("contact-centre")
        until("the next has come", lambda: self.mails(SLOW)[before:] == [first, last])
        failed = self.counted("contact-centre", "email", "failed") - given_up
        self.verdicts.equal("the one between is given up", failed, 1)

    # ---- receivers

    def at_once(self):
        """No more than the settings say, however many wait."""
        receiver = self.receivers["open"]
        receiver.turnstile.close()
        texts = {self.push("open", f"+4477009008{number:02}") for number in range(4 * AT_ONCE)}
        until("as many are on their way as may be", lambda: receiver.turnstile.held() == AT_ONCE)
        receiver.turnstile.open()
        until("all come", lambda: texts <= set(self.pushes("open")))
        self.verdicts.equal("pushes at once", receiver.at_once_max, AT_ONCE)

    def gone(self):
        """410: nothing is sent any more, and a person is told; the others get theirs."""
        gone = self.receivers["closed"]
        first = self.push("closed")
        until("the first comes", lambda: self.pushes("closed") == [first])
        gone.always = (410, {})
        self.push("closed")
        until("it stops", lambda: self.house.metric("delivery_stopped", "closed", "push") == 1)
        requests = gone.requests
        gone.always = None
        self.push("closed", OTHER)
        other = self.push("open")
        until("another receiver's comes", lambda: other in self.pushes("open"))
        self.verdicts.equal("requests after 410", gone.requests, requests)
        self.verdicts.equal("pushes after 410", self.pushes("closed"), [first])

    def gone_and_back(self):
        """A restart is a person's word: what waited comes."""
        waiting = len(self.pushes("closed"))
        with self.house:
            until("what waited comes", lambda: len(self.pushes("closed")) == waiting + 2)
            self.verdicts.equal("it goes again", self.house.metric("delivery_stopped", "closed", "push"), 0)

    def sent_elsewhere(self):
        """A redirect is no delivery, and is not followed, whatever its code."""
        target, moved = self.receivers["open"], self.receivers["moved"]
        before, requests = self.pushes("open"), target.requests
        for code in (301, 302, 303, 307, 308):
            moved.answers.append((code, {"location": target.url}))
        text = self.push("moved")
        until("it comes in the end", lambda: self.pushes("moved") == [text])
        found = (target.requests, self.pushes("open"))
        self.verdicts.equal("requests at the place it pointed to", found, (requests, before))
        self.verdicts.equal("tries that were none", self.counted("moved", "push", "retried"), 5)

    def run(self):
        with self.house:
            for story in (self.refused_for_good, self.refused_for_a_while, self.one_resident, self.one_mail,
                          self.at_once, self.sent_elsewhere, self.gone):
                story()
        self.gone_and_back()
        for name, receiver in self.receivers.items():
            self.verdicts.equal(f"complaints of {name}", receiver.complaints, [])
        judge_words(self.verdicts, "serve", self.house.said(), [SECRET])


def judge_giving_up(verdicts, town):
    """A server and a receiver that stay away for longer than is tried."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(MailServer(Kind(town.certificate)))
        receiver = stack.enter_context(Receiver("parking", town.certificate, SECRET))
        house = stack.enter_context(House(
            town.smtp(server), {"contact-centre": email(GOOD), "parking": town.push(receiver, ["push"])},
            {"push": SECRET}, retry="retry_ms = 50\nretry_max_ms = 200\ngive_up_ms = 1000"))
        receiver.go()
        with server.away():
            for text in ("hello text 1", "parking text 1"):
                verdicts.equal(f"answer to {text}", push(house, RESIDENT, text), 200)
            for department, channel in (("contact-centre", "email"), ("parking", "push")):
                until(f"{channel} is given up", lambda: house.metric(
                    "deliveries_total", department, channel, outcome="failed") == 1)
                verdicts.equal(f"{channel}: the last try failed", house.metric("delivery_up", department, channel), 0)
            letters = house.letters()
            verdicts.equal("dead letters", sorted(letter["detail"].split(":")[0] for letter in letters), [
                "email to contact-centre", "push to parking"])
            # Not looked for by time: it is told when it has been looked at.
            for department, channel in (("contact-centre", "email"), ("parking", "push")):
                until(f"{channel}: nothing waits", lambda: metric(
                    house.monitoring, "delivery_oldest_seconds", department, channel) == 0)
        receiver.come()
        for text in ("hello text 2", "parking text 2"):
            verdicts.equal(f"answer to {text}", push(house, RESIDENT, text), 200)
        until("what comes next is delivered", lambda: server.count(GOOD) == 1 and receiver.count() == 1)
        verdicts.equal("and nothing else", texts_of(server), ["hello text 2"])
        until("the way is well again", lambda: house.metric("delivery_up", "contact-centre", "email") == 1
              and house.metric("delivery_up", "parking", "push") == 1)
        judge_replay(verdicts, house, server, receiver)


def judge_replay(verdicts, house, server, receiver):
    """What was given up is called back once the cause is mended; by `serve`, as any text."""
    run = house.run("dead-letter", "replay", "--reason", "undelivered")
    verdicts.equal(f"dead-letter replay: {run.stderr.decode()[-500:]}", run.returncode, 0)
    until("what was called back comes", lambda: server.count(GOOD) == 2 and receiver.count() == 2)
    verdicts.equal("mails in the end", texts_of(server), ["hello text 2", "hello text 1"])
    verdicts.equal("dead letters in the end", house.letters(), [])


def texts_of(server):
    return [Mail(arrival.what).text for arrival in server.arrivals.of[GOOD]]


def judge(verdicts, town):
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(MailServer(Kind(town.certificate)))
        receivers = {name: stack.enter_context(Receiver(name, town.certificate, SECRET)) for name in RECEIVERS}
        Story(verdicts, town, server, receivers).run()
    judge_giving_up(verdicts, town)
