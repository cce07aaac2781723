"""The whole installation on loopback: Kafka, two routers, archive consumer, deliverer, Prometheus, Alertmanager.

Comes in: SMS_ROUTER_BIN, SMS_ROUTER_TEST_CQL (a running Cassandra), `divide` for all times of the rules.
Goes out: running processes and their addresses; all end with the `with` block.
"""

import contextlib
import datetime
import os
import time

import yaml

import carriers
import rules
from processes import ROOT, STATE, Process, get, get_json, run
from receivers import MailServer, Receiver
from router import free_port

BINARY = os.environ.get("SMS_ROUTER_BIN", str(ROOT / "target/debug/sms-router"))
KAFKA_SCRIPT = ROOT / "tests/services/kafka.sh"
KAFKA = "kafka-monitoring"
PROMETHEUS = "prometheus"
ALERTMANAGER = "prometheus-alertmanager"
NAMESPACE = "sms"
# A department's mailbox that is no more.
NOBODY = "libraries@example.gov.uk"
# Pushes that are refused at first and tried again.
PUSHES_REFUSED = 3
# Small enough to be half full after a quarter of a minute of the test's traffic without Kafka.
JOURNAL_BYTES_MAX = 262_144

ROUTES = """
[[department]]
name = "contact-centre"
[[department]]
name = "highways"
[[department]]
name = "waste"
[[department]]
name = "parking"
[[department]]
name = "libraries"
[[number]]
number = "86555"
default = "contact-centre"
[[keyword]]
number = "86555"
word = "snow"
department = "highways"
[[keyword]]
number = "86555"
word = "bin"
department = "waste"
[[keyword]]
number = "86555"
word = "park pay"
department = "parking"
[[keyword]]
number = "86555"
word = "book"
department = "libraries"
[[test]]
to = "86555"
text = "Snow on Main St"
department = "highways"
"""

# A consumer that Kafka has forgotten waits until its former self has timed out: 45 s by default, which no division
# of the rules' times makes shorter.
SETTINGS = """
routes = "routes.toml"
data = "data"
[log]
level = "warn,librdkafka=error,scylla=error"
[inbound]
listen = "127.0.0.1:{inbound}"
url = "https://sms.example.gov.uk"
[api]
listen = "127.0.0.1:{api}"
operators = [{{ file = "secrets/operator" }}]
[api.tls]
certificate = "tls.crt"
key = "tls.key"
[monitoring]
listen = "127.0.0.1:{monitoring}"
[probe]
every_ms = 1000
[reconcile]
every_ms = 1000
[publish]
to = "kafka"
brokers = "{brokers}"
journal_bytes_max = {journal_bytes_max}
[publish.properties]
"session.timeout.ms" = "6000"
"heartbeat.interval.ms" = "1000"
[publish.topics]
replication = 1
min_insync_replicas = 1
[smtp]
host = "127.0.0.1"
port = {smtp}
tls = "none"
from = "sms-router@example.gov.uk"
[deliver]
retry_ms = 100
retry_max_ms = 1000
[departments.highways]
push = {{ url = "{push}", secrets = [{{ file = "secrets/push" }}], private_network = true }}
[departments.waste]
email = {{ to = ["waste@example.gov.uk"], hourly_max = 100000 }}
[departments.libraries]
email = {{ to = ["{nobody}"], hourly_max = 100000 }}
[archive]
to = "cql"
nodes = ["{cql}"]
keyspace = "{keyspace}"
replication = 1
sender_key = {{ file = "secrets/sender-key" }}
[accounts.council]
carrier = "generic"
secrets = [{{ file = "secrets/council" }}]
[accounts.gateway]
carrier = "generic"
signature = "monitor"
monitor_until = "{monitor_until}"
secrets = [{{ file = "secrets/council" }}]
[accounts.kannel]
carrier = "kannel"
secrets = [{{ file = "secrets/kannel" }}]
[accounts.hurried]
carrier = "generic"
rate_max = 1
secrets = [{{ file = "secrets/council" }}]
"""


class Kafka:
    """One broker of its own, so that no other part's texts are on its topics."""

    def __enter__(self):
        self._script("stop")
        self.address = run("starting Kafka", [KAFKA_SCRIPT, "start", KAFKA, "1"]).strip()
        return self

    def __exit__(self, *_):
        self._script("stop")

    def kill(self):
        self._script("kill", "1")

    def come_back(self):
        self._script("restart", "1")

    def _script(self, verb, *arguments):
        run(f"kafka.sh {verb}", [KAFKA_SCRIPT, verb, KAFKA, *arguments])


class Installation:
    """`instances`: name to monitoring port; `config`: the settings file."""

    def __init__(self, divide, pager):
        self.divide, self.pager = divide, pager
        self.stack = contextlib.ExitStack()
        self.ports = {name: {kind: free_port() for kind in ("inbound", "api", "monitoring")} for name in ("r-0", "r-1", "a-0", "d-0")}
        self.config = STATE / "sms-router.toml"
        self.prometheus, self.alertmanager = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"

    def __enter__(self):
        try:
            self.kafka = self.stack.enter_context(Kafka())
            self.mail_server = self.stack.enter_context(MailServer())
            self.mail_server.refused.add(NOBODY)
            self.receiver = self.stack.enter_context(Receiver(PUSHES_REFUSED))
            self._write_settings()
            run("setup", [BINARY, "setup", "-c", self.config])
            self.routers = {name: self._start(name, "serve") for name in ("r-0", "r-1")}
            self.archiver = self._start("a-0", "archive", "run")
            self.start_deliverer()
            self._start_alertmanager()
            self._start_prometheus()
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *_):
        self.stack.close()

    @property
    def inbound(self):
        return [self.ports[name]["inbound"] for name in ("r-0", "r-1")]

    def _write_settings(self):
        (STATE / "secrets").mkdir(mode=0o700)
        for name, content in {
            "council": carriers.SECRET, "kannel": carriers.PATH_SECRET, "sender-key": "sender-key-of-the-tests-0123456789",
            "operator": "operator-token-of-the-tests-0123456789", "push": carriers.SECRET,
        }.items():
            (STATE / "secrets" / name).write_text(content)
            (STATE / "secrets" / name).chmod(0o600)
        (STATE / "routes.toml").write_text(ROUTES)
        run("openssl", ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "90", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", STATE / "tls.key", "-out", STATE / "tls.crt"])
        (STATE / "tls.key").chmod(0o600)
        self.config.write_text(SETTINGS.format(
            **self.ports["r-0"], smtp=self.mail_server.port, push=self.receiver.url, nobody=NOBODY, brokers=self.kafka.address, cql=os.environ["SMS_ROUTER_TEST_CQL"],
            monitor_until=datetime.date.today() + datetime.timedelta(days=30),
            keyspace=f"monitoring_{time.time_ns()}", journal_bytes_max=JOURNAL_BYTES_MAX))

    def _start(self, name, *command):
        ports = self.ports[name]
        environment = {f"SMS_ROUTER__{kind.upper()}__LISTEN": f"127.0.0.1:{port}" for kind, port in ports.items()}
        environment["SMS_ROUTER__DATA"] = str(STATE / name)
        ready = f"http://127.0.0.1:{ports['monitoring']}/readyz"
        process = Process(name, [BINARY, *command, "-c", self.config], lambda: get(ready)[0] == 200, environment)
        return self.stack.enter_context(process)

    def start_deliverer(self):
        self.deliverer = self._start("d-0", "deliver", "run")

    def _start_alertmanager(self):
        config = rules.divide(yaml.safe_load(rules.ALERTMANAGER.read_text()), self.divide)
        for receiver in config["receivers"]:
            receiver["webhook_configs"][0]["url"] = self.pager.url(receiver["name"])
        file = STATE / "alertmanager.yaml"
        file.write_text(yaml.safe_dump(config))
        command = [ALERTMANAGER, f"--config.file={file}", f"--storage.path={STATE / 'alertmanager'}",
                   f"--web.listen-address={self.alertmanager.removeprefix('http://')}", "--cluster.listen-address="]
        ready = f"{self.alertmanager}/-/ready"
        self.stack.enter_context(Process("alertmanager", command, lambda: get(ready)[0] == 200))

    def _start_prometheus(self):
        (STATE / "rules.yaml").write_text(yaml.safe_dump(rules.groups(self.divide), sort_keys=False))
        (STATE / "prometheus.yaml").write_text(yaml.safe_dump({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [self.alertmanager.removeprefix("http://")]}]}]},
            "scrape_configs": [
                self._job("sms-router", ["r-0", "r-1"]),
                self._job("sms-router-archive", ["a-0"]),
                self._job("sms-router-deliver", ["d-0"]),
            ],
        }))
        command = [PROMETHEUS, f"--config.file={STATE / 'prometheus.yaml'}", f"--storage.tsdb.path={STATE / 'prometheus'}",
                   f"--web.listen-address={self.prometheus.removeprefix('http://')}"]
        ready = f"{self.prometheus}/-/ready"
        self.stack.enter_context(Process("prometheus", command, lambda: get(ready)[0] == 200))

    def _job(self, job, names):
        """With the labels that k8s/monitoring/scrape.yaml gives."""
        return {"job_name": job, "static_configs": [
            {"targets": [f"127.0.0.1:{self.ports[name]['monitoring']}"],
             "labels": {"instance": name, "namespace": NAMESPACE}} for name in names]}

    def query(self, expression):
        """An instant vector: (labels, value) of each sample."""
        answer = get_json(f"{self.prometheus}/api/v1/query", query=expression)
        if answer["status"] != "success":
            raise ValueError(f"{expression}: {answer.get('error')}")
        return [(each["metric"], float(each["value"][1])) for each in answer["data"]["result"]]

    def value(self, expression):
        """The sum of an instant vector; 0 of an empty one."""
        return sum(value for _, value in self.query(expression))

    def query_range(self, expression, since, until, step_s=1):
        """Series over time: (labels, [(time, value)…])."""
        answer = get_json(f"{self.prometheus}/api/v1/query_range", query=expression, start=since, end=until, step=step_s)
        if answer["status"] != "success":
            raise ValueError(f"{expression}: {answer.get('error')}")
        points = lambda values: [(float(at), float(value)) for at, value in values]
        return [(each["metric"], points(each["values"])) for each in answer["data"]["result"]]

    def firing(self):
        """Names of the alerts that fire in Prometheus."""
        alerts = get_json(f"{self.prometheus}/api/v1/alerts")["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def said(self):
        """For a failed wait: what fires, and how it stands with texts that wait."""
        stand = {name: self.query(name) for name in ("sms_router_journal_filled_ratio", "sms_router_department_up == 0")}
        known = sorted(labels["alertname"] for labels, _, _ in self.at_alertmanager())
        return f"(firing: {sorted(self.firing())}; at Alertmanager: {known}; {stand})"

    def at_alertmanager(self):
        """Every active alert there: labels and the fingerprints of what inhibits it."""
        alerts = get_json(f"{self.alertmanager}/api/v2/alerts")
        return [(alert["labels"], alert["status"]["inhibitedBy"], alert["fingerprint"]) for alert in alerts]
