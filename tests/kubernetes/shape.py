"""Claims on the shape of what is applied: schemas, fields, a linter, the files themselves."""

import copy
import os
import pathlib
import subprocess
import tempfile

import celpy
import kubernetes_validate
import yaml

import fields
import rules
from claims import claim, none, some
from manifests import K8S, OVERLAYS, ROOT, TOOLS, called, container, k8s_files, objects, of_kind, one, rendered, router

# What clusters run now; the native sleep of preStop is in all of them.
VERSIONS = ["1.33", "1.36"]
# Applied by themselves, for they are of other namespaces, or never.
ASIDE = ["scylla.yaml", "strimzi.yaml", "secrets.example.yaml"]
LINES_MAX = 500


def aside():
    """Objects that no kustomization has."""
    files = [path for name in ASIDE for path in sorted((K8S / "overlays").glob(f"*/{name}"))]
    files += sorted(path for path in (K8S / "monitoring").rglob("*.y*ml"))
    for path in files:
        for each in yaml.safe_load_all(path.read_text()):
            if isinstance(each, dict) and {"apiVersion", "kind", "metadata"} <= set(each):
                yield each


def everything():
    return [each for overlay in OVERLAYS for each in objects(overlay)] + list(aside())


def schema_problems(found):
    for version in VERSIONS:
        for each in found:
            try:
                kubernetes_validate.validate(each, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{called(each)} ({version}): {error.message} at {list(error.path)}"


@claim("Kubernetes' own objects are as their schemas have them, strictly")
def schemas():
    own = [each for each in everything() if not fields.is_documented(each)]
    assert len(own) > 50, len(own)
    none(schema_problems(own))
    harmed = copy.deepcopy(own)
    serving = next(each for each in harmed if each["kind"] == "StatefulSet")
    container(serving)["livenesProbe"] = {}
    some(schema_problems([serving]), "a misspelt field", "livenesProbe")


@claim("NOT schema-checked, by documented fields only: objects of Strimzi, Scylla and the Prometheus operator")
def others():
    judged = [each for each in everything() if fields.is_documented(each)]
    assert "ScyllaCluster" in {each["kind"] for each in judged}
    none(problem for each in judged for problem in fields.problems(each))
    cluster = copy.deepcopy(next(each for each in judged if each["kind"] == "ScyllaCluster"))
    cluster["spec"]["datacenter"]["racks"][0]["member"] = 3
    del cluster["spec"]["version"]
    some(fields.problems(cluster), "a misspelt field", "member is in no example")
    some(fields.problems(cluster), "a missing field", "version is missing")
    topic = yaml.safe_load("""{apiVersion: kafka.strimzi.io/v1, kind: KafkaTopic, spec: {partitions: "1", replicas: 3},
        metadata: {name: sms.highways, labels: {strimzi.io/cluster: kafka}}}""")
    assert [*fields.problems(topic)] == ["KafkaTopic sms.highways: spec.partitions is '1', no integer"]
    users = yaml.safe_load("""{apiVersion: kafka.strimzi.io/v1, kind: KafkaUser, metadata: {name: sms-router},
        spec: {authentication: {type: scram-sha-512}, authorization: {type: simple, acls: [{operations: [Eat], resource:
        {type: topic, name: sms., patternType: prefix}}]}}}""")
    some(fields.problems(users), "an operation that is none", "'Eat'")
    some(fields.problems(users), "a user of no cluster", "no label strimzi.io/cluster")


@claim("what Prometheus scrapes are ports of pods that are there")
def scraped():
    monitors = of_kind(aside(), "PodMonitor")
    found = objects("production") + monitors
    none([*rules.selectors_fit(found), *rules.ports_fit(found)])
    astray = yaml.safe_load("""{kind: PodMonitor, metadata: {name: x}, spec: {podMetricsEndpoints: [{port: metrics}],
        selector: {matchLabels: {app: sms-router}}}}""")
    some(rules.selectors_fit([*found, astray]), "a selector of no pod", "selects no pod")
    some(rules.ports_fit([*found, astray]), "a port that is none", "PodMonitor x")


def score(text):
    """What kube-score finds critical."""
    judged = subprocess.run([TOOLS / "kube-score", "score", "--output-format", "ci", "-"], input=text,
                            capture_output=True, text=True, timeout=120)
    assert judged.stdout, judged.stderr
    return [line for line in judged.stdout.splitlines() if line.startswith("[CRITICAL]")]


@claim("kube-score finds nothing critical, and would")
def linted():
    for overlay in OVERLAYS:
        none(f"{overlay}: {line}" for line in score(rendered(overlay)))
    harmed = objects("production")
    del container(router(harmed))["resources"]
    some(score(yaml.safe_dump_all(harmed)), "a pod without limits", "CRITICAL")


def built(overlay, components, more):
    """An overlay with components, and with what an operator adds."""
    with tempfile.TemporaryDirectory(dir=TOOLS.parent) as folder:
        path = lambda below: os.path.relpath(K8S / below, folder)
        text = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
                "resources": [path(f"overlays/{overlay}")],
                "components": [path(f"components/{each}") for each in components], **more}
        (pathlib.Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(text))
        run = subprocess.run([TOOLS / "kustomize", "build", folder], capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stderr
        return list(yaml.safe_load_all(run.stdout))


@claim("every component is in an overlay, or fits onto one")
def components():
    used = {line.split("/")[-1] for path in (K8S / "overlays").glob("*/kustomization.yaml")
            for line in path.read_text().splitlines() if "/components/" in line}
    spare = {path.name for path in (K8S / "components").iterdir()} - used
    reaches = {"sns-certificates": [443, 53, 53], "deliveries": [587, 465, 443, 53, 53]}
    assert spare == {"egress-sns", "egress-deliveries", "reroute"}, spare
    for overlay in OVERLAYS:
        found = built(overlay, sorted(spare - {"reroute"}), {})
        none(schema_problems(of_kind(found, "NetworkPolicy")))
        none(rules.internet_is_public(found))
        for name, ports in reaches.items():
            egress = one(found, "NetworkPolicy", name)["spec"]["egress"]
            assert [port["port"] for rule in egress for port in rule["ports"]] == ports, egress


def said_in_the_readme(first_line):
    """What an operator is told to add to a kustomization, by its first line."""
    page = (K8S / "README.md").read_text()
    said = page[page.index(f"   {first_line}\n"):]
    return yaml.safe_load(said[:said.index("   ```")])


@claim("the job makes the schema, and topics too with what the README says to add")
def set_up():
    commands = {overlay: container(one(built(overlay, [], more), "CronJob", "sms-router-setup"))["args"]
                for overlay, more in [("production", said_in_the_readme("patches:")), ("production-without-journal", {})]}
    plain = commands["production-without-journal"]
    assert plain[-2:] == ["--only", "schema"] and commands["production"] == plain[:-2], commands


@claim("a smaller number of routers is refused until somebody has said that it is meant")
def scale_down():
    policy = one(objects("production"), "ValidatingAdmissionPolicy", "sms-router-scale-down")["spec"]
    environment = celpy.Environment()
    program = environment.program(environment.compile(policy["validations"][0]["expression"]))

    def admits(before, after, annotation=None, subresource=""):
        metadata = {"name": "sms-router"}
        if annotation:
            metadata["annotations"] = {"sms-router/scale-down-to": annotation}
        return bool(program.evaluate(celpy.json_to_cel({
            "object": {"metadata": metadata, "spec": {"replicas": after}},
            "oldObject": {"metadata": {"name": "sms-router"}, "spec": {"replicas": before}},
            "request": {"subResource": subresource},
        })))

    for arguments, expected in [
        ((3, 3), True), ((3, 5), True), ((3, 5, None, "scale"), True),
        ((3, 2), False), ((3, 0), False), ((3, 2, None, "scale"), False), ((3, 2, "2", "scale"), False),
        ((3, 2, "2"), True), ((3, 1, "2"), False), ((3, 2, "yes"), False),
    ]:
        assert admits(*arguments) == expected, arguments
    # What the README says to apply is what the policy lets through.
    smaller = one(built("production", [], said_in_the_readme("replicas:")), "StatefulSet", "sms-router")
    count, annotations = smaller["spec"]["replicas"], smaller["metadata"]["annotations"]
    assert count == 2 and admits(3, count, annotations["sms-router/scale-down-to"]), (count, annotations)
    condition = environment.program(environment.compile(policy["matchConditions"][0]["expression"]))
    for name, expected in [("sms-router", True), ("another", False)]:
        met = condition.evaluate(celpy.json_to_cel({"object": {"metadata": {"name": name}}}))
        assert bool(met) == expected, name


@claim("every file says what it is, keeps its length, and is meant by somebody")
def files():
    for path in k8s_files():
        text, name = path.read_text(), path.relative_to(ROOT)
        # Dashboards and drawings are written by programs, in as many lines as those like.
        # Drawn, exported, or a list whose entries are read one at a time.
        listed = path.suffix in (".json", ".svg") or path.name in ("rules.yaml", "runbooks.md")
        lines = 0 if listed else len(text.splitlines())
        assert lines <= LINES_MAX, f"{name} has {lines} lines"
        if path.suffix in (".yaml", ".yml", ".toml"):
            assert text.startswith("# "), f"{name} does not say what it is"
        assert "TODO" not in text, name
    for folder in [K8S / "base", *(K8S / "components").iterdir(), *(K8S / "overlays").iterdir()]:
        kustomization = (folder / "kustomization.yaml").read_text()
        beside = [path.name for path in folder.iterdir() if path.name not in ("kustomization.yaml", *ASIDE)]
        unused = [name for name in beside if name not in kustomization]
        assert not unused, f"{folder.relative_to(ROOT)}: {unused}"
