"""Texts of many residents through `serve` alone, to mailboxes and receivers: while the mail server is away and returns,
while a receiver is slow, refuses, drops connections and returns, while secrets change, and over kill -9 in the middle.

Every text answered comes to each of its destinations; a repeat has the id of the first; a sender's order holds; what one
destination does holds up no other. Then, each with settings of its own: refusals, impostors, and a digest beside them.
"""

import base64
import pathlib
import tempfile

import impostors
import refusals
from arrivals import until
from destinations import KEYWORDS, MAILBOXES, ROUND, SENDERS, Destinations
from digest import Digests
from house import House, Town, judge_words
from load import Load, push
from mailserver import LATER, OK, one_in
from receiver import DROPPED, SILENT
from router import Verdicts

OLD = "whsec_" + base64.b64encode(bytes(range(30, 60))).decode()
NEW = "whsec_" + base64.b64encode(bytes(range(60, 99))).decode()


class Story:
    def __init__(self, verdicts, destinations):
        self.verdicts, self.to = verdicts, destinations
        self.server, self.highways = destinations.server, destinations.receivers["highways"]
        self.house = House(*destinations.settings(["push-1", "push-2"]), {"push-1": OLD, "push-2": OLD})

    def run(self):
        with self.house, Load(self.house, KEYWORDS, SENDERS) as load:
            self.to.more("the beginning", load)
            self.lose_the_mail_server(load)
            self.trouble_a_receiver(load)
            load.more(ROUND)
            with self.to.all_held():
                self.house.kill()
            self.house.__enter__()
            self.to.complete(load)
        self.to.judge(self.verdicts, load)
        self.verdicts.equal("dead letters", self.house.letters(), [])

    def lose_the_mail_server(self, load):
        with self.server.away():
            before = self.to.counts()
            mailboxes = [name for name in before if "@" in name]
            self.to.more("pushes while the mail server is away", load, but=mailboxes)
            after = self.to.counts()
        for name in mailboxes:
            self.verdicts.equal(f"mails to {name} while the server is away", after[name], before[name])
        # Some mails are another time's; their senders' next ones wait for them.
        self.server.ways.mail = one_in(6, LATER)
        self.to.more("the mail server is back, and greylists", load)
        self.server.ways.mail = lambda content: OK

    def trouble_a_receiver(self, load):
        """With all that one can do wrong; the others get theirs meanwhile."""
        highways = self.highways
        highways.always = (500, {})
        tried = highways.requests
        self.to.more("while a receiver answers 500", load, but=["highways"])
        until("it is tried meanwhile", lambda: highways.requests > tried + 2)
        elsewhere = self.to.receivers["parking"].url
        highways.answers += [
            SILENT, (503, {"retry-after": "1"}), DROPPED, (301, {"location": elsewhere}), (429, {"retry-after": "1"}),
            (400, {}), DROPPED, (302, {"location": "/texts"}), (307, {"location": elsewhere}), (500, {})]
        highways.always = None
        self.to.more("the receiver is well again", load)
        until("all that was wrong has been met", lambda: not highways.answers)
        highways.go()
        self.to.more("while a receiver is away", load, but=["highways"])
        highways.come()
        self.to.more("the receiver is back", load)

    # ---- what follows on the same data

    def rotate(self):
        """Both secrets are exchanged, one after the other, while texts come; no push is ever refused."""
        highways, house = self.highways, self.house
        numbers = iter(range(10_000))

        def signatures():
            count = highways.count()
            status = push(house, "+447700900999", f"highways rotation {next(numbers)}")
            self.verdicts.equal("a text is taken", status, 200)
            until("it is pushed", lambda: highways.count() > count)
            return highways.arrivals.of["highways"][-1].what.headers["webhook-signature"].split(" ")

        with house:
            both = signatures()
            self.verdicts.equal("two secrets, alike, sign", (len(both), len(set(both))), (2, 1))
            house.write_secret("push-1", NEW)
            until("the new secret signs, the old one too", lambda: len(set(signatures())) == 2)
            highways.secret = NEW
            signatures()
            house.write_secret("push-2", NEW)
            until("the old secret signs no more", lambda: len(set(signatures())) == 1)
        self.verdicts.equal("pushes refused meanwhile", highways.complaints, [])

    def go_on(self):
        """After a good end nothing comes again."""
        self.to.receivers["parking"].secret = NEW
        mailbox, marks = MAILBOXES["parking"][0], self.to.counts()
        repeats = self.server.arrivals.repeats(mailbox)
        with self.house:
            self.verdicts.equal("a text after the restart", push(self.house, "+447700900998", "parking again"), 200)
            until("it comes", lambda: all(self.to.counts()[name] == marks[name] + 1 for name in self.to.of("parking")))
        self.verdicts.equal("repeats after a good end", self.server.arrivals.repeats(mailbox), repeats)


def main():
    verdicts = Verdicts()
    with tempfile.TemporaryDirectory() as folder:
        town = Town(pathlib.Path(folder))
        with Destinations(town, OLD) as destinations, Digests(verdicts, town) as digests:
            story = Story(verdicts, destinations)
            story.run()
            story.rotate()
            story.go_on()
            judge_words(verdicts, "serve", story.house.said(), [OLD, NEW])
            # While its minute passes.
            refusals.judge(verdicts, town)
            impostors.judge(verdicts, town)
            digests.judge()
    verdicts.end()


if __name__ == "__main__":
    main()
