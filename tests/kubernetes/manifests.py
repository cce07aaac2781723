"""The objects of k8s/, as kustomize builds them and as files hold them.

Comes in: the repository, and the `kustomize` that tests/kubernetes/tools installed. Goes out: lists of objects; pods
and what belongs to them. Not here: what must be true of them.
"""

import copy
import functools
import os
import pathlib
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
TOOLS = pathlib.Path(os.environ.get("SMS_ROUTER_TEST_TOOLS", ROOT / "target/tests/go/bin"))
OVERLAYS = sorted(path.parent.name for path in (K8S / "overlays").glob("*/kustomization.yaml"))
# Where the image has it (k8s/image/rootfs).
PROGRAM = "/usr/bin/sms-router"
WORKLOADS = ("StatefulSet", "Deployment", "CronJob", "DaemonSet", "Job", "Pod", "ReplicaSet")


@functools.cache
def rendered(overlay):
    """The text that would be applied."""
    built = subprocess.run([TOOLS / "kustomize", "build", K8S / "overlays" / overlay],
                           capture_output=True, text=True, timeout=60)
    assert built.returncode == 0, f"{overlay}: {built.stderr}"
    assert "deprecated" not in built.stderr.lower(), built.stderr
    return built.stdout


def objects(overlay):
    """Of an overlay, to do with as one likes."""
    return copy.deepcopy(parsed(rendered(overlay)))


@functools.cache
def parsed(text):
    return [each for each in yaml.safe_load_all(text) if each is not None]


def example_secrets(overlay):
    """Name of a Secret → its keys, as the overlay's example lists them."""
    examples = yaml.safe_load_all((K8S / "overlays" / overlay / "secrets.example.yaml").read_text())
    return {secret["metadata"]["name"]: secret["stringData"] for secret in examples}


def of_kind(found, kind, name=None):
    return [each for each in found if each["kind"] == kind and name in (None, each["metadata"]["name"])]


def one(found, kind, name):
    matching = of_kind(found, kind, name)
    assert len(matching) == 1, f"{kind} {name}: {len(matching)} of them"
    return matching[0]


def called(workload):
    return f"{workload['kind']} {workload['metadata']['name']}"


def workloads(found):
    return [each for each in found if each["kind"] in WORKLOADS]


def template(workload):
    """The pod's metadata and spec."""
    match workload["kind"]:
        case "Pod":
            return workload
        case "CronJob":
            return workload["spec"]["jobTemplate"]["spec"]["template"]
        case _:
            return workload["spec"]["template"]


def pod(workload):
    return template(workload)["spec"]


def container(workload):
    """The one container that all our pods have."""
    containers = pod(workload)["containers"] + pod(workload).get("initContainers", [])
    assert len(containers) == 1, f"{called(workload)} has {len(containers)} containers"
    return containers[0]


def pre_stop(workload):
    """What the kubelet runs before SIGTERM: the program's arguments, nothing where it only sleeps."""
    hook = container(workload).get("lifecycle", {}).get("preStop", {})
    program, *arguments = hook.get("exec", {}).get("command", [PROGRAM])
    assert program == PROGRAM, f"{called(workload)}: {program} is not in the image"
    return arguments


def pre_stop_s(workload):
    """Seconds before SIGTERM: until proxies have noticed, and what may follow after that."""
    arguments = pre_stop(workload)
    if not arguments:
        hook = container(workload).get("lifecycle", {}).get("preStop", {})
        return hook.get("sleep", {}).get("seconds", 0), 0
    return tuple(int(arguments[arguments.index(option) + 1]) for option in ("--delay", "--wait"))


def environment(workload):
    return {variable["name"]: variable.get("value", "") for variable in container(workload).get("env", [])}


def sources(workload, kind, key):
    """Volumes of a kind: their names in the pod → what they are made of."""
    return {volume["name"]: volume[kind][key] for volume in pod(workload).get("volumes", []) if kind in volume}


def claims_of(workload):
    """Names of the volumes that claims stand for."""
    templates = workload["spec"].get("volumeClaimTemplates", [])
    named = sources(workload, "persistentVolumeClaim", "claimName")
    return {each["metadata"]["name"] for each in templates} | set(named)


def router(found):
    """The workload that serves."""
    serving = [each for each in workloads(found) if container(each)["args"][0] == "serve"]
    assert len(serving) == 1, f"{len(serving)} workloads serve"
    return serving[0]


def selects(selector, labels):
    """Whether a label selector fits; an empty one fits all."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for rule in selector.get("matchExpressions", []):
        value, values = labels.get(rule["key"]), rule.get("values", [])
        fits = {"In": value in values, "NotIn": value not in values, "Exists": value is not None,
                "DoesNotExist": value is None}[rule["operator"]]
        if not fits:
            return False
    return True


def k8s_files():
    """Every text file of k8s/."""
    return sorted(path for path in K8S.rglob("*") if path.is_file())
