"""Claims on the users of strimzi.yaml, on a real Kafka that asks for rights and a real Cassandra: with theirs the pods do
all their work and are refused nothing, and each right is missed where it is taken away.

Comes in: strimzi.yaml, the pods of the production overlay; SMS_ROUTER_TEST_RIGHTS and _TLS, _CA, _LOG beside it, of a
broker of this test's own started with `--tls --rights`; SMS_ROUTER_TEST_CQL. Always true: a KafkaUser's rules are the
broker's as Strimzi's user operator makes them of it: for each operation one, of `User:NAME`, for every host.
"""

import contextlib
import json
import os
import pathlib
import re
import ssl
import time

import yaml
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import (AclBinding, AclBindingFilter, AclOperation, AclPermissionType, AdminClient,
                                   AlterConfigOpType, ConfigEntry, ConfigResource, ResourcePatternType, ResourceType,
                                   ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion)

import files
from claims import claim, none
from manifests import environment, of_kind, one
from receivers import MailServer, Receiver
from service import FROM, TO, Ports, laid_out, settings_of, trusting
from strimzi import FILE

BROKER, BROKER_TLS, CA, LOG, CQL = (os.environ.get(f"SMS_ROUTER_TEST_{name}", "") for name in
                                    ("RIGHTS", "RIGHTS_TLS", "RIGHTS_CA", "RIGHTS_LOG", "CQL"))
SETUP, SERVE, ARCHIVE, DELIVER = (f"sms-router-{role}" for role in ("setup", "serve", "archive", "deliver"))
# E-mails and pushes are consumed by a group each.
GROUPS = [DELIVER, f"{DELIVER}-push"]
# What the broker's log says of each question of rights.
ASKED = re.compile(r"Principal = User:(\S+) is (Allowed|Denied) operation = (\w+) from host = \S+ on resource = "
                   r"(\w+):LITERAL:(\S+) for request = (\w+)")
# To the broker's authorizer who may do one of these may do the first as well.
IMPLIED = {"Describe": {"Read", "Write", "Delete", "Alter"}, "DescribeConfigs": {"AlterConfigs"}}
COMMITS = {((SERVE, "group", "sms-router-parts", "READ"), "OffsetCommit"),
           ((ARCHIVE, "group", "sms-router-archive", "READ"), "OffsetCommit"),
           *(((DELIVER, "group", group, "READ"), "OffsetCommit") for group in GROUPS)}
# One for each department, and one with a record on the topic of consent.
TEXTS = ["Hello", "Snow on Main St", "PARK PAY ab12", "bin", "STOP"]
# With that of two pieces.
TEXTS_IN_ALL = len(TEXTS) + 1
# Where they are delivered, and how many there are: those without a keyword by e-mail, snow by push.
MAILBOX = "contact-centre@example.gov.uk"
DELIVERED = {("contact-centre", "email"): 2, ("highways", "push"): 2}
# Shown by an account that pushes pieces, which those of the overlay do not.
TOKEN = "token-of-the-account-that-pushes-pieces"
PIECES = '{ carrier = "generic", auth = "bearer", secrets = [{ env = "PIECES" }] }'


def in_the_log(operation):
    """DescribeConfigs as DESCRIBE_CONFIGS."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", operation).upper()


def rule_as(of, user, kind, name, operation):
    return of(ResourceType[kind.upper()], name, ResourcePatternType.LITERAL, f"User:{user}", "*",
              AclOperation[in_the_log(operation)], AclPermissionType.ALLOW)


def answers(asked):
    return [answer.result(30) for answer in asked.values()]


class Site:
    """The servers, the users with their rights, and their pods. Who speaks to the broker without TLS may do all."""

    def __init__(self):
        self.plain = {"bootstrap.servers": BROKER, "log_level": 3}
        self.admin = AdminClient(self.plain)
        # Of this run's own: others use the same Cassandra.
        self.keyspace = f"rights_{time.time_ns()}"
        users = of_kind(list(yaml.safe_load_all(FILE.read_text())), "KafkaUser")
        self.rules = {(user["metadata"]["name"], rule["resource"]["type"], rule["resource"]["name"], operation)
                      for user in users for rule in user["spec"]["authorization"]["acls"]
                      for operation in rule["operations"]}
        self.topics = {name for _, kind, name, _ in self.rules if kind == "topic"}
        self.allow(self.rules)

    def allow(self, rules):
        answers(self.admin.create_acls([rule_as(AclBinding, *rule) for rule in rules]))

    @contextlib.contextmanager
    def without(self, user, operation, name=None):
        """While a user lacks a right, on this or on all that he has it on; their names."""
        rules = {rule for rule in self.rules if (rule[0], rule[3]) == (user, operation) and name in (None, rule[2])}
        gone = answers(self.admin.delete_acls([rule_as(AclBindingFilter, *rule) for rule in rules]))
        assert rules and all(len(each) == 1 for each in gone), (user, operation, name, gone)
        yield {rule[2] for rule in rules}
        self.allow(rules)

    @contextlib.contextmanager
    def laid(self, kind, name):
        """A pod on these servers, whose user may log in."""
        with laid_out("production", lambda found: one(found, kind, name)) as laid:
            secrets = laid.folder("/etc/sms-router/secrets/kafka")
            user = environment(laid.workload).get("SMS_ROUTER__PUBLISH__USER", settings_of(laid)["publish"]["user"])
            password = (secrets / "password").read_text()
            scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
            upsertion = UserScramCredentialUpsertion(user, scram, password.encode())
            answers(self.admin.alter_user_scram_credentials([upsertion]))
            files.place(secrets, {"password": password, "ca.crt": pathlib.Path(CA).read_text()})
            laid.ports = Ports(laid)
            laid.overrides |= {
                "SMS_ROUTER__PUBLISH__BROKERS": BROKER_TLS, "SMS_ROUTER__PUBLISH__TOPICS__REPLICATION": "1",
                "SMS_ROUTER__PUBLISH__TOPICS__MIN_INSYNC_REPLICAS": "1", "SMS_ROUTER__ARCHIVE__NODES": f'["{CQL}"]',
                "SMS_ROUTER__ARCHIVE__DATACENTERS": "{ datacenter1 = 1 }",
                "SMS_ROUTER__ARCHIVE__DATACENTER": "datacenter1", "SMS_ROUTER__ARCHIVE__KEYSPACE": self.keyspace,
            }
            # This Cassandra speaks no TLS; `tests/run archive` has one that does.
            laid.overrides["SMS_ROUTER__ARCHIVE__TLS__CA"] = None
            settings = laid.folder("/etc/sms-router/settings")
            text = re.sub(r"(?m)^tls = .*$", "", (settings / "sms-router.toml").read_text())
            files.place(settings, {"sms-router.toml": text})
            laid.client = {**self.plain, "bootstrap.servers": BROKER_TLS, "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512",
                           "ssl.ca.location": CA, "sasl.username": user, "sasl.password": password}
            yield laid

    def harm(self):
        """Somebody has topics keep texts for an hour."""
        shorter = [ConfigEntry("retention.ms", "3600000", incremental_operation=AlterConfigOpType.SET)]
        answers(self.admin.incremental_alter_configs(
            [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=shorter) for topic in self.topics]))

    def garbage(self):
        """What the archive cannot read, on a department's topic."""
        assert written(self.plain) is None

    def asked(self, allowed):
        """What users were allowed or refused so far: the rule that would say so, and the request."""
        found = ASKED.findall(pathlib.Path(LOG).read_text(errors="replace"))
        return {((user, kind.lower(), name, operation), request) for user, said, operation, kind, name, request in found
                if (said == "Allowed") == allowed and user != "ANONYMOUS"}


def written(client):
    """What a broker says to somebody who writes to a department's topic."""
    said, producer = [], Producer(client)
    producer.produce("sms.highways", b"not a record", on_delivery=lambda error, _: said.append(error))
    producer.flush(30)
    return said[0] and said[0].code()


def read(client):
    """What a broker says to somebody who reads one."""
    consumer = Consumer({**client, "group.id": "sms-router-parts", "enable.auto.commit": False})
    consumer.assign([TopicPartition("sms.highways", 0, 0)])
    message = files.until("the broker answers", lambda: consumer.poll(1))
    consumer.close()
    return message.error() and message.error().code()


def command(laid, *arguments):
    run = laid.run([*arguments, *laid.settings()])
    assert run.returncode == 0, f"{arguments}: {run.returncode} {run.stdout}{run.stderr}"
    return run.stdout


def reasons(laid):
    """Why what is in dead-letter is there, as a person in the pod sees it."""
    return {json.loads(line)["reason"] for line in command(laid, "dead-letter", "list").splitlines()}


def since_and_until(ago, until_ago):
    """The options of a time, in seconds before now."""
    at = lambda ago: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - ago))
    return ["--since", at(ago), "--until", at(until_ago)]


def move(serve, archive):
    """A text of the contact centre's goes to highways as well, by hand, from a router's pod."""
    asked = ["--department", "contact-centre", *since_and_until(600, -60), "--reason", "a test"]
    texts = command(archive, "archive", "get", *asked).splitlines()
    chosen = json.loads(texts[0])["id"]
    command(serve, "reroute", "--id", chosen, "--to", "highways", "--reason", "a test")


def reconcile(laid):
    """Whether the last ten minutes could be judged and are well, and what was said."""
    run = laid.run(["reconcile", *since_and_until(600, 0), *laid.settings()])
    return run.returncode == 0, run.stdout + run.stderr


def push(laid, text, **data):
    text = {"id": f"text-{time.time_ns()}", "from": FROM, "to": TO, "text": text, **data}
    body = {"type": "sms.received", "timestamp": "2026-11-22T10:00:00Z", "data": text}
    headers = {"content-type": "application/json", "authorization": f"Bearer {TOKEN}"}
    url = f"https://127.0.0.1:{laid.ports.inbound}/inbound/pieces"
    return files.request(url, json.dumps(body).encode(), headers, trusting())[0]


def push_pieces(laid):
    reference = str(time.time_ns() % 10**9)
    for number in (1, 2):
        part = {"reference": reference, "total": 2, "number": number}
        assert push(laid, f"Snow, piece {number}. ", part=part) == 200, part


def push_all(laid):
    """A record for each topic but that of synthetic texts."""
    for text in TEXTS:
        assert push(laid, text) == 200, text
    assert push(laid, 1) == 400, "what cannot be read goes to dead-letter"
    push_pieces(laid)


def metric(laid, series):
    found = re.search(rf"^{re.escape(series)} (\S+)$", laid.ports.monitor("/metrics")[1], re.M)
    return float(found[1]) if found else 0.0


def deliveries(laid, department, channel, outcome="delivered"):
    labels = f'channel="{channel}",department="{department}",outcome="{outcome}"'
    return metric(laid, f"sms_router_deliveries_total{{{labels}}}")


def archived(laid, outcome="stored"):
    return metric(laid, f'sms_router_archive_records_total{{outcome="{outcome}"}}')


def says(laid, *words, since=0):
    """A line of the pod's log with each of these comes."""
    said = lambda: (laid.root / "log").read_text()[since:]
    files.until(f"the log says {words}", lambda: all(word in said() for word in words))


@contextlib.contextmanager
def saying(laid, words):
    """What is done here leads to such a line."""
    before = len((laid.root / "log").read_text())
    yield
    says(laid, words, since=before)


def makes_topics(site, setup):
    """Makes them, mends what somebody has changed, and leaves them as they are then."""
    for result in (": created", ": changed retention.ms", ": already there"):
        made = [line for line in command(setup, "setup", "--only", "topics").splitlines() if line.endswith(result)]
        assert len(made) == len(site.topics), (result, made)
        if result == ": created":
            site.harm()


def does_all(site, serve, archive, deliver):
    """All that routers, archive and deliverer ever ask of Kafka, and nothing is refused."""
    push_all(serve)
    files.until("all is copied", lambda: archived(archive) == TEXTS_IN_ALL)
    for (department, channel), texts in DELIVERED.items():
        files.until(f"all is delivered to {department}", lambda: deliveries(deliver, department, channel) == texts)
    with deliver.mail_server.refusing(MAILBOX):
        assert push(serve, "Nobody has this mailbox") == 200
        files.until("what nobody takes is in dead-letter", lambda: deliveries(deliver, "contact-centre", "email", "failed"))
    assert "undelivered" in reasons(serve), reasons(serve)
    command(serve, "dead-letter", "replay", "--reason", "undelivered")
    again = DELIVERED["contact-centre", "email"] + 1
    files.until("it is delivered anew", lambda: deliveries(deliver, "contact-centre", "email") == again)
    move(serve, archive)
    moved = DELIVERED["highways", "push"] + 1
    files.until("a text that is moved is pushed", lambda: deliveries(deliver, "highways", "push") == moved)
    files.until("all three are copied too", lambda: archived(archive) == TEXTS_IN_ALL + 3)
    site.garbage()
    files.until("what is no record is in dead-letter", lambda: archived(archive, "dead_letter") == 1)
    through = 'sms_router_probe_duration_seconds_count{stage="archived"}'
    files.until("a synthetic text is through", lambda: metric(archive, through) > 0)
    files.until("all is reconciled", lambda: reconcile(archive)[0])
    files.until("offsets are committed", lambda: COMMITS <= site.asked(True))
    none(f"{rule} was refused" for rule, _ in site.asked(False))
    asked = {rule for rule, _ in site.asked(True)}
    none(f"{rule} follows from another rule" for rule in sorted(site.rules)
         if any((*rule[:3], other) in site.rules for other in IMPLIED.get(rule[3], ())))
    none(f"nobody asked for {rule}" for rule in sorted(site.rules) if (*rule[:3], in_the_log(rule[3])) not in asked)


def may_no_more(serve, archive, deliver):
    """A router reads no department's topic; archive and deliverer write to none."""
    assert read(serve.client) == KafkaError.TOPIC_AUTHORIZATION_FAILED
    for laid in (archive, deliver):
        assert written(laid.client) == KafkaError.TOPIC_AUTHORIZATION_FAILED


def router_misses(site, serve, archive):
    before = archived(archive)
    with site.without(SERVE, "Write") as topics:
        push_all(serve)
        waits = lambda: set(re.findall(r"^(\S+): \d+ texts", command(serve, "journal", "status"), re.M))
        files.until("something waits for each topic", lambda: waits() == topics)
    command(serve, "journal", "status", "--wait", "30")
    files.until("all is copied, late", lambda: archived(archive) == before + TEXTS_IN_ALL)
    with site.without(SERVE, "Read", "sms-router.dead-letter"):
        run = serve.run(["dead-letter", "list", *serve.settings()])
        assert run.returncode != 0 and "uthoriz" in run.stderr, (run.returncode, run.stderr)
    with site.without(SERVE, "Read", "sms-router.parts"), saying(serve, "TopicAuthorizationFailed"):
        push_pieces(serve)
    files.until("their text is copied, late", lambda: archived(archive) == before + TEXTS_IN_ALL + 1)


def archive_misses(site, archive):
    with site.without(ARCHIVE, "Write"), saying(archive, "topic sms-router.dead-letter did not take"):
        site.garbage()
    with site.without(ARCHIVE, "Read", "sms-router.probe"), saying(archive, "TopicAuthorizationFailed"):
        pass
    for topic in sorted(site.topics - {"sms-router.probe"}):
        with site.without(ARCHIVE, "Read", topic):
            well, said = reconcile(archive)
            assert not well and ("Read on it" in said or "TopicAuthorizationFailed" in said), (topic, said)


def deliverer_misses(site, serve, deliver):
    with (site.without(DELIVER, "Write"), deliver.mail_server.refusing(MAILBOX),
          saying(deliver, "dead-letter does not take what cannot be delivered")):
        assert push(serve, "Nobody has this mailbox either") == 200
    files.until("it is there, late", lambda: deliveries(deliver, "contact-centre", "email", "failed") == 2)
    for department, _ in DELIVERED:
        with site.without(DELIVER, "Read", f"sms.{department}"), saying(deliver, "TopicAuthorizationFailed"):
            pass


def setup_misses(site, setup):
    for operation in ("Describe", "AlterConfigs", "Create"):
        if operation == "AlterConfigs":
            site.harm()
        with site.without(SETUP, operation, "sms.parking"):
            run = setup.run(["setup", "--only", "topics", *setup.settings()])
            said = [line for line in (run.stdout + run.stderr).splitlines() if "sms.parking" in line]
            assert said and not re.search(r": (created|changed|already there)", said[0]), (operation, said)


def starts_miss(site, serve, archive, deliver):
    """What is asked at a start, or seldom."""
    for laid in (serve, archive, deliver):
        (laid.root / "log").unlink()
    with (site.without(SERVE, "DescribeConfigs") as topics, site.without(SERVE, "Read", "sms-router-parts"),
          site.without(ARCHIVE, "Read", "sms-router-archive"), serve.running(), archive.running()):
        cannot = [f'the topic\'s settings cannot be looked at (DescribeConfigs)","topic":"{topic}"' for topic in topics]
        says(serve, "GroupAuthorizationFailed", *cannot)
        says(archive, "GroupAuthorizationFailed")
    for group in GROUPS:
        with site.without(DELIVER, "Read", group), deliver.running():
            says(deliver, "GroupAuthorizationFailed")
        (deliver.root / "log").unlink()


@contextlib.contextmanager
def delivering(deliver):
    """The deliverer's pod with a mail server of its own, which asks for its password, and a receiver."""
    chain, key = files.certificate(1)
    secrets = deliver.folder("/etc/sms-router/secrets/smtp")
    password = (secrets / "password").read_text()
    files.place(secrets, {"password": password, "ca.crt": chain, "tls.key": key})
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(secrets / "ca.crt", secrets / "tls.key")
    with MailServer(tls, password) as deliver.mail_server, Receiver() as receiver:
        deliver.overrides |= {
            "SMS_ROUTER__SMTP__HOST": "127.0.0.1", "SMS_ROUTER__SMTP__PORT": str(deliver.mail_server.port),
            "SMS_ROUTER__SMTP__CA": str(secrets / "ca.crt"),
            "SMS_ROUTER__DEPARTMENTS__HIGHWAYS__PUSH__URL": receiver.url,
            "SMS_ROUTER__DEPARTMENTS__HIGHWAYS__PUSH__PRIVATE_NETWORK": "true",
        }
        yield


@claim("with the rights of strimzi.yaml the pods do all their work, are refused nothing, and miss each that is taken away")
def rights():
    site = Site()
    with (site.laid("CronJob", "sms-router-setup") as setup, site.laid("StatefulSet", "sms-router") as serve,
          site.laid("Deployment", ARCHIVE) as archive, site.laid("Deployment", DELIVER) as deliver, delivering(deliver)):
        serve.overrides |= {"SMS_ROUTER__ACCOUNTS__PIECES": PIECES, "PIECES": TOKEN}
        makes_topics(site, setup)
        command(setup, "setup", "--only", "schema")
        with serve.running(), archive.running(), deliver.running():
            for laid in (serve, deliver):
                files.until("pods are ready", lambda: laid.ports.monitor("/readyz")[0] == 200)
            does_all(site, serve, archive, deliver)
            may_no_more(serve, archive, deliver)
            router_misses(site, serve, archive)
            archive_misses(site, archive)
            deliverer_misses(site, serve, deliver)
        setup_misses(site, setup)
        starts_miss(site, serve, archive, deliver)

