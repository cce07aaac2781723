"""Claims on strimzi.yaml, where an overlay has one: topics and user are those that the settings want.

Comes in: the file, and what `setup --dry-run` says of the overlay's own settings and routes.
"""

import copy
import json

import yaml

from claims import claim, none, some
from manifests import K8S, OVERLAYS, of_kind, one
from service import laid_out, settings_of

# Strimzi's name for a cluster's first address.
BOOTSTRAP = "-kafka-bootstrap."


def wanted(overlay):
    """Topics as `setup` would make them, and the settings."""
    with laid_out(overlay, lambda found: one(found, "CronJob", "sms-router-setup")) as laid:
        run = laid.run(["setup", *laid.settings(), "--dry-run", "-o", "json"])
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)["topics"], settings_of(laid)


def problems(found, topics, said):
    cluster = said["publish"]["brokers"].partition(BOOTSTRAP)[0]
    for each in found:
        if (label := each["metadata"]["labels"].get("strimzi.io/cluster")) != cluster:
            yield f"{each['metadata']['name']} is of cluster {label}, the settings' brokers of {cluster}"
    there = of_kind(found, "KafkaTopic")
    there = {each["spec"].get("topicName", each["metadata"]["name"]): each["spec"] for each in there}
    if odd := set(there) ^ {topic["name"] for topic in topics}:
        yield f"topics that only one of strimzi.yaml and `setup` has: {sorted(odd)}"
    for topic in topics:
        spec = there.get(topic["name"])
        planned = {"partitions": topic["partitions"], "replicas": topic["replication"]} | dict(topic["properties"])
        given = {**spec, **spec.get("config", {})} if spec else planned
        differ = [name for name, value in planned.items() if str(given.get(name)) != str(value)]
        yield from (f"{topic['name']}: {name} is {given.get(name)}, not {planned[name]}" for name in differ)
    ways = {each["metadata"]["name"]: each["spec"]["authentication"]["type"] for each in of_kind(found, "KafkaUser")}
    if ways.get(said["publish"]["user"]) != "scram-sha-512":
        yield f"users are {ways}, the settings log in as {said['publish']['user']} by SCRAM-SHA-512"


@claim("Strimzi's topics and user, where they are there, are those of the settings; a topic left out would be found")
def strimzi():
    for overlay in OVERLAYS:
        path = K8S / "overlays" / overlay / "strimzi.yaml"
        if path.exists():
            found = [each for each in yaml.safe_load_all(path.read_text()) if each]
            none(f"{overlay}: {said}" for said in problems(found, *wanted(overlay)))
    topics, said = wanted("production")
    labels = {"strimzi.io/cluster": "kafka"}
    good = [{"kind": "KafkaTopic", "metadata": {"name": topic["name"], "labels": labels},
             "spec": {"partitions": topic["partitions"], "replicas": topic["replication"],
                      "config": dict(topic["properties"])}} for topic in topics]
    good.append({"kind": "KafkaUser", "metadata": {"name": "sms-router", "labels": labels},
                 "spec": {"authentication": {"type": "scram-sha-512"}}})
    none(problems(good, topics, said))
    some(problems(good[1:], topics, said), "a topic left out", "only one of")
    some(problems(good[:-1], topics, said), "no user", "the settings log in as")
    few = copy.deepcopy(good)
    few[0]["spec"]["config"]["min.insync.replicas"] = 1
    some(problems(few, topics, said), "another setting", "min.insync.replicas is 1, not 2")
    few[0]["metadata"]["labels"] = {"strimzi.io/cluster": "another"}
    some(problems(few, topics, said), "another cluster", "of cluster another")
