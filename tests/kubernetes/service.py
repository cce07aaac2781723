"""Claims that only the binary can judge: it runs as the pods run it, on their files, on loopback.

Always true: nothing outside this machine is asked; Kafka and Scylla are addresses where nobody listens.
"""

import contextlib
import json
import re
import secrets
import socket
import ssl
import tomllib

import yaml

import fields
import files
import manifests
import rules
from claims import claim, none, some
from manifests import K8S, OVERLAYS, called, container, objects, one, pod, pre_stop, pre_stop_s, router, workloads
from on_objects import REACHES
from router import free_port
from shape import built, schema_problems, score

FROM, TO = "+447700900123", "86555"
# Names that /metrics showed so far.
shown = set()


def laid_out(overlay, workload=None, change=lambda found: None):
    found = objects(overlay)
    change(found)
    return files.Pod(found, workload(found) if workload else router(found), files.dummies(overlay))


class Ports:
    """Where a pod of ours listens instead of on the network."""

    def __init__(self, laid):
        self.inbound, self.api, self.monitoring = free_port(), free_port(), free_port()
        for name, port in vars(self).items():
            laid.overrides[f"SMS_ROUTER__{name.upper()}__LISTEN"] = f"127.0.0.1:{port}"
        if settings_of(laid).get("publish", {}).get("to") == "kafka":
            laid.overrides["SMS_ROUTER__PUBLISH__BROKERS"] = f"127.0.0.1:{free_port()}"

    def monitor(self, path):
        return files.request(f"http://127.0.0.1:{self.monitoring}{path}")


def settings_of(laid):
    return tomllib.loads((laid.folder("/etc/sms-router/settings") / "sms-router.toml").read_text())


def trusting(number=1):
    chain, _ = files.certificate(number)
    return ssl.create_default_context(cadata=chain)


def checked(laid):
    """What `check` says of the files and the environment of a pod."""
    run = laid.run(["check", *laid.settings(), "-o", "json"])
    assert run.returncode in (0, 1), run.stderr
    return json.loads(run.stdout)


def problems_of(laid):
    return [f"{problem.get('key')}: {problem['reason']}" for problem in checked(laid)["problems"]]


@claim("`check` accepts the settings of every pod, with the pod's own files and environment, and warns of nothing; the"
       " archive's, which lacks what accounts need, is judged by its start")
def settings_are_good():
    for overlay in OVERLAYS:
        for each in workloads(objects(overlay)):
            if container(each)["args"][0] == "archive":
                continue
            with laid_out(overlay, lambda found: one(found, each["kind"], each["metadata"]["name"])) as laid:
                report = checked(laid)
                none(f"{overlay}, {called(each)}: {said}" for said in report["problems"] + report["warnings"])


@claim("on top of production, components/reroute gives routers what they need to move texts, and `check` accepts it")
def moves_texts():
    found = built("production", ["reroute"], {})
    examples = yaml.safe_load_all((K8S / "components/reroute/secrets.example.yaml").read_text())
    more = {secret["metadata"]["name"]: secret["stringData"] for secret in examples}
    none([*schema_problems(each for each in found if not fields.is_documented(each)), *rules.pods_are_restricted(found)])
    none(score(yaml.safe_dump_all(found)))
    none(rules.secrets_are_files(found, manifests.example_secrets("production") | more))
    none(rules.network_is_closed(found, REACHES["production"] | {"router": {53, 9093, 9142}}))
    given = {name: {key: secrets.token_hex(32) for key in keys} for name, keys in more.items()}
    given["sms-router-scylla-mover"]["ca.crt"], _ = files.certificate(1)
    with files.Pod(found, router(found), files.dummies("production") | given) as laid:
        report = checked(laid)
        none(report["problems"] + report["warnings"])
        door = one(found, "Service", "sms-router-api")["spec"]["ports"][0]["port"]
        ports = {port["name"]: port["containerPort"] for port in container(laid.workload)["ports"]}
        listens = laid.environment()["SMS_ROUTER__API__LISTEN"]
        assert door == ports["api"] == rules.port_of(listens), (door, ports, listens)


@claim("`check` refuses an unknown key, an unmounted secret, the example's empty ones, and a carrier that a 503 loses")
def settings_are_judged():
    def unknown(found):
        container(router(found))["env"] = [{"name": "SMS_ROUTER__INBOUND__LISTENN", "value": "x"}]

    def unmounted(found):
        main = container(router(found))
        main["volumeMounts"] = [mount for mount in main["volumeMounts"] if mount["name"] != "keys"]

    for overlay in OVERLAYS:
        with laid_out(overlay, change=unknown) as laid:
            some(problems_of(laid), overlay, "inbound.listenn")
        with laid_out(overlay, change=unmounted) as laid:
            some(problems_of(laid), overlay, "sender-key cannot be read")
        found = objects(overlay)
        with files.Pod(found, router(found), files.manifests.example_secrets(overlay)) as laid:
            some(problems_of(laid), overlay, "sender-key is empty")
    with laid_out("production") as laid:
        laid.overrides["SMS_ROUTER__PUBLISH__JOURNAL"] = "false"
        some(problems_of(laid), "production", "does not send again after a 503")


@claim("the sample never runs in a pod: without -c the container fails")
def no_sample():
    with laid_out("demo") as laid:
        run = laid.run(["serve"])
        assert run.returncode == 78 and "Kubernetes" in run.stderr, (run.returncode, run.stderr)


def probes(laid, ports):
    """Each probe is answered 200 where the pod has it."""
    main = container(laid.workload)
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = main[name]["httpGet"]
        assert asked["port"] == "monitoring", asked
        files.until(f"{name} is answered", lambda: ports.monitor(asked["path"])[0] == 200)
    status, text = ports.monitor("/metrics")
    assert status == 200
    shown.update(re.findall(r"^# TYPE (\S+)", text, re.M))
    return text


def fits_its_request(laid, process):
    """Memory of its own, as the kernel counts it, is below what the pod requests."""
    status = open(f"/proc/{process.pid}/status").read()
    used = int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) // 1024
    requested = int(container(laid.workload)["resources"]["requests"]["memory"].removesuffix("Mi"))
    assert used < requested, f"{used} MiB used, {requested} requested"


def ends_in_time(laid, process):
    code, seconds = files.stop(process)
    allowed = pod(laid.workload)["terminationGracePeriodSeconds"] - sum(pre_stop_s(laid.workload))
    assert code == 0, f"exit code {code}"
    assert seconds < allowed, f"{seconds:.0f} s, {allowed} allowed"
    drain = settings_of(laid)["drain_delay_ms"] / 1000
    assert seconds >= drain, f"{seconds:.1f} s: it left before load balancers had noticed"


@claim("the demo runs: probes, a text, the feed over TLS, new routes and certificate without a restart, an end in time")
def demo_runs():
    with laid_out("demo") as laid:
        ports = Ports(laid)
        with laid.running() as process:
            probes(laid, ports)
            assert files.request(f"http://127.0.0.1:{ports.inbound}/other")[0] == 404
            rule = one(objects("production"), "Ingress", "sms-router")["spec"]["rules"][0]["http"]
            assert files.request(f"http://127.0.0.1:{ports.inbound}{rule['paths'][0]['path']}demo", b"{}")[0] == 403
            sent(laid, "Snow on Main St")
            routes_are_swapped(laid, ports)
            feed_is_open(laid, ports, ["Snow on Main St", "Gully blocked"])
            certificate_is_swapped(laid, ports)
            fits_its_request(laid, process)
            ends_in_time(laid, process)
        data = laid.folder("/var/lib/sms-router/data")
        assert data.stat().st_mode & 0o777 == 0o700, oct(data.stat().st_mode)


def sent(laid, text):
    run = laid.run(["simulate", *laid.settings(), "--to", TO, "--from", FROM, text])
    assert run.returncode == 0 and run.stdout.startswith("200 "), run.stdout + run.stderr


def routes_are_swapped(laid, ports):
    """As the kubelet does when the ConfigMap has changed."""
    folder = laid.folder("/etc/sms-router/routes")
    old, version = (folder / "routes.toml").read_text(), r'routes_info\{version="([^"]+)"\}'
    before = re.search(version, ports.monitor("/metrics")[1])[1]
    files.place(folder, {"routes.toml": old.replace('aliases = ["grit"', 'aliases = ["gully", "grit"')})
    files.until("new routes are in force", lambda: re.search(version, ports.monitor("/metrics")[1])[1] != before)
    sent(laid, "Gully blocked")


def feed_is_open(laid, ports, texts):
    token = (laid.folder("/etc/sms-router/secrets/feed") / "highways").read_text()
    url = f"https://127.0.0.1:{ports.api}/v1/departments/highways/messages"
    status, body = files.request(url, headers={"authorization": f"Bearer {token}"}, context=trusting())
    assert status == 200, (status, body)
    assert [event["data"]["text"] for event in json.loads(body)] == texts, body
    assert files.request(url, context=trusting())[0] == 401


def certificate_is_swapped(laid, ports):
    chain, key = files.certificate(2)
    files.place(laid.folder("/etc/sms-router/tls"), {"tls.crt": chain, "tls.key": key})

    def is_new():
        with socket.create_connection(("127.0.0.1", ports.api), 5) as raw:
            with trusting(2).wrap_socket(raw, server_hostname="127.0.0.1"):
                return True

    files.until("the new certificate is shown", is_new)


def notify(laid, ports, text):
    """A text as GOV.UK Notify's callback brings it."""
    token = (laid.folder("/etc/sms-router/secrets/carriers") / "notify").read_text()
    body = {"id": "b5f1ae9e-a9a4-4a3c-8c3c-0d2d1b6c7c11", "source_number": FROM.lstrip("+"), "destination_number": TO,
            "message": text, "date_received": "2026-11-22T10:00:00.000000Z"}
    headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
    url = f"https://127.0.0.1:{ports.inbound}/inbound/notify"
    return files.request(url, json.dumps(body).encode(), headers, trusting())[0]


def told_to_leave(laid):
    """The hook that the kubelet runs before SIGTERM, with less patience."""
    arguments = [laid.moved(argument) for argument in pre_stop(laid.workload)]
    for option in ("--delay", "--wait"):
        arguments[arguments.index(option) + 1] = "1"
    # A carrier's secret that is being changed is no reason to leave with texts.
    (laid.folder("/etc/sms-router/secrets/carriers") / "twilio").unlink()
    return laid.run(arguments)


@claim("production runs without Kafka: 200 over TLS, preStop fails after its wait, the journal outlives the pod, its job"
       " fails visibly")
def production_runs():
    with laid_out("production") as laid:
        ports = Ports(laid)
        with laid.running() as process:
            text = probes(laid, ports)
            assert "sms_router_sample 0" in text
            assert notify(laid, ports, "Snow on Main St") == 200
            # Synthetic texts wait beside it.
            files.until("a text waits", lambda: "sms_router_journal_messages 0" not in ports.monitor("/metrics")[1])
            fits_its_request(laid, process)
            hook = told_to_leave(laid)
            assert hook.returncode == 1 and "still wait" in hook.stderr, (hook.returncode, hook.stdout + hook.stderr)
            ends_in_time(laid, process)
            assert "texts stay in the journal" in (laid.root / "log").read_text()
        status = laid.run(["journal", "status", *laid.settings()])
        assert status.returncode == 0 and "sms.highways: 1 texts" in status.stdout, status.stdout + status.stderr
        with laid_out("production", lambda found: one(found, "CronJob", "sms-router-journal-replay")) as job:
            job.folder("/var/lib/sms-router").rmdir()
            job.folder("/var/lib/sms-router").symlink_to(laid.folder("/var/lib/sms-router"))
            job.overrides["SMS_ROUTER__PUBLISH__BROKERS"] = laid.overrides["SMS_ROUTER__PUBLISH__BROKERS"]
            arguments = [argument if argument != "600" else "2" for argument in job.arguments()]
            assert arguments != job.arguments(), arguments
            run = job.run(arguments)
            assert run.returncode == 1 and "texts still wait" in run.stderr, run.stdout + run.stderr


@claim("without a journal and without Kafka a text is answered 503, and the pod is alive and not started")
def without_journal():
    with laid_out("production-without-journal") as laid:
        ports = Ports(laid)
        with laid.running() as process:
            files.until("it lives", lambda: ports.monitor("/livez")[0] == 200)
            assert ports.monitor("/startupz")[0] == 503
            assert notify(laid, ports, "Snow on Main St") == 503
            ends_in_time(laid, process)


@claim("the archive runs without Kafka and Scylla, alive and not ready, without any carrier's secret")
def archive_runs():
    with laid_out("production", lambda found: one(found, "Deployment", "sms-router-archive")) as laid:
        ports = Ports(laid)
        laid.overrides["SMS_ROUTER__ARCHIVE__NODES"] = f'["127.0.0.1:{free_port()}"]'
        assert not laid.folder("/etc/sms-router/secrets/carriers").exists()
        assert not laid.folder("/var/lib/sms-router").exists()
        some(problems_of(laid), "a router that has only this", "cannot be read")
        with laid.running() as process:
            files.until("it lives", lambda: ports.monitor("/livez")[0] == 200)
            assert ports.monitor("/readyz")[0] == 503
            shown.update(re.findall(r"^# TYPE (\S+)", ports.monitor("/metrics")[1], re.M))
            code, seconds = files.stop(process)
            assert (code, seconds < pod(laid.workload)["terminationGracePeriodSeconds"]) == (0, True), (code, seconds)


@claim("the deliverer runs without Kafka, alive and not ready, without any carrier's secret and without Scylla's")
def deliverer_runs():
    with laid_out("production", lambda found: one(found, "Deployment", "sms-router-deliver")) as laid:
        ports = Ports(laid)
        folders = {path.name for path in laid.folder("/etc/sms-router/secrets").iterdir()}
        assert folders == {"keys", "kafka", "smtp", "push"}, folders
        assert not laid.folder("/var/lib/sms-router").exists()
        with laid.running() as process:
            files.until("it lives", lambda: ports.monitor("/livez")[0] == 200)
            assert ports.monitor("/readyz")[0] == 503
            shown.update(re.findall(r"^# TYPE (\S+)", ports.monitor("/metrics")[1], re.M))
            fits_its_request(laid, process)
            code, seconds = files.stop(process)
            assert (code, seconds < pod(laid.workload)["terminationGracePeriodSeconds"]) == (0, True), (code, seconds)
