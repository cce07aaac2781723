"""The same through Kafka: `serve` puts texts on topics, two `deliver run` share them; the mail server goes away and
returns, a receiver too, one of the two is killed with -9 in the middle and started again.

Comes in: SMS_ROUTER_TEST_KAFKA, a broker of this part's own. Goes out: verdicts on what came, and on how far the groups
have got.
"""

import base64
import os
import pathlib
import sys
import tempfile

from confluent_kafka import Consumer, TopicPartition

from arrivals import until
from destinations import KEYWORDS, MAILBOXES, ROUND, SENDERS, Destinations
from house import Deliverer, House, Town, judge_words, metric
from load import Load
from router import Verdicts

BROKERS = os.environ["SMS_ROUTER_TEST_KAFKA"]
PARTITIONS = 4
SECRET = "whsec_" + base64.b64encode(bytes(range(90, 130))).decode()
TOPICS = "deliver"
GROUPS = {"email": "sms-router-deliver", "push": "sms-router-deliver-push"}
PUBLISH = f"""
[publish]
to = "kafka"
brokers = "{BROKERS}"
[publish.properties]
"session.timeout.ms" = "6000"
"heartbeat.interval.ms" = "500"
[publish.topics]
partitions = {PARTITIONS}
replication = 1
min_insync_replicas = 1
"""


class Group:
    """How far one has got on a department's topic."""

    def __init__(self, channel, department):
        self.places = [TopicPartition(f"{TOPICS}.{department}", partition) for partition in range(PARTITIONS)]
        self.consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": GROUPS[channel], "enable.auto.commit": False})

    def end(self):
        return sum(self.consumer.get_watermark_offsets(place, timeout=30)[1] for place in self.places)

    def done(self):
        return sum(max(place.offset, 0) for place in self.consumer.committed(self.places, timeout=30))


class Story:
    def __init__(self, verdicts, destinations):
        self.verdicts, self.to = verdicts, destinations
        self.server, self.highways = destinations.server, destinations.receivers["highways"]
        smtp, channels = destinations.settings(["push"])
        self.house = House(PUBLISH + smtp, channels, {"push": SECRET}, topics=TOPICS)
        self.deliverers = [Deliverer(self.house, name) for name in ("deliver-1", "deliver-2")]
        self.groups = {(channel, department): Group(channel, department) for channel, department in (
            ("email", "contact-centre"), ("email", "parking"), ("push", "parking"), ("push", "highways"))}

    def run(self):
        made = self.house.run("setup")
        if made.returncode != 0:
            sys.exit(f"setup: {made.stdout.decode()}{made.stderr.decode()}")
        first, second = self.deliverers
        with self.house, Load(self.house, KEYWORDS, SENDERS) as load, second:
            with first:
                self.to.more("the beginning", load)
                self.lose_the_mail_server(load)
                self.lose_a_receiver(load)
                load.more(ROUND)
                with self.to.all_held():
                    first.kill()
            with first:
                self.to.complete(load)
                self.judge_offsets()
                self.judge_metrics()
        self.to.judge(self.verdicts, load)
        self.judge_words()

    def lose_the_mail_server(self, load):
        """The offsets of mails stay where mails are; those of pushes go on."""
        mailboxes = [name for name in self.to.counts() if "@" in name]
        with self.server.away():
            pushed = self.groups["push", "parking"].done()
            self.to.more("pushes while the mail server is away", load, but=mailboxes)
            until("offsets of pushes go on", lambda: self.groups["push", "parking"].done() > pushed)
            for department, (mailbox, *_) in MAILBOXES.items():
                self.judge_behind("email", department, self.server.count(mailbox))
        self.to.more("the mail server is back", load)

    def lose_a_receiver(self, load):
        self.highways.go()
        self.to.more("while a receiver is away", load, but=["highways"])
        self.judge_behind("push", "highways", self.highways.count())
        self.highways.come()
        self.to.more("the receiver is back", load)

    def judge_behind(self, channel, department, arrived):
        """No offset passes what the destination has; there is more on the topic."""
        group = self.groups[channel, department]
        done, end = group.done(), group.end()
        is_behind = done <= arrived < end
        self.verdicts.holds(f"{channel} to {department}: offsets stay behind", is_behind, (done, arrived, end))

    def judge_offsets(self):
        for (channel, department), group in self.groups.items():
            until(f"nothing waits for {channel} to {department}", lambda: group.done() == group.end())
            self.verdicts.holds(f"{channel} to {department}: there was something", group.end() > 0)

    def judge_metrics(self):
        ports = [deliverer.port for deliverer in self.deliverers]
        for channel, department in self.groups:
            def outcome(word):
                return sum(metric(port, "deliveries_total", department, channel, outcome=word) for port in ports)

            until(f"{channel} to {department}: nothing is old", lambda: all(
                metric(port, "delivery_oldest_seconds", department, channel) == 0 for port in ports))
            # What the killed one had counted has gone with it.
            self.verdicts.holds(f"{channel} to {department}: deliveries are counted", outcome("delivered") > 0)
            self.verdicts.equal(f"{channel} to {department}: given up", outcome("failed"), 0)

    def judge_words(self):
        judge_words(self.verdicts, "serve", self.house.said(), [SECRET])
        for deliverer in self.deliverers:
            judge_words(self.verdicts, deliverer.log.suffix, deliverer.said(), [SECRET])


def main():
    verdicts = Verdicts()
    with tempfile.TemporaryDirectory() as folder, Destinations(Town(pathlib.Path(folder)), SECRET) as destinations:
        Story(verdicts, destinations).run()
    verdicts.end()


if __name__ == "__main__":
    main()
