"""Claims on strimzi.yaml: it is what `setup --dry-run -o strimzi` prints for the overlay's own settings and routes.

Comes in: the file, the program, and the pods of the overlay. `judge.py --write` writes the file anew.
"""

import yaml

from claims import claim, none, some
from manifests import K8S, environment, objects, of_kind, one, workloads
from service import laid_out, settings_of

HEADER = "# Topics and users of the production overlay: `sms-router setup --dry-run -o strimzi` of its settings and routes.\n"
FILE = K8S / "overlays" / "production" / "strimzi.yaml"
# Strimzi's name for a cluster's first address.
BOOTSTRAP = "-kafka-bootstrap."


def printed():
    """What the file has to be, and the settings."""
    # To the other pods no department has an e-mail or a push.
    with laid_out("production", lambda found: one(found, "Deployment", "sms-router-deliver")) as laid:
        said = settings_of(laid)
        cluster = said["publish"]["brokers"].partition(BOOTSTRAP)[0]
        run = laid.run(["setup", *laid.settings(), "--dry-run", "-o", "strimzi", "--strimzi-cluster", cluster])
        assert run.returncode == 0, run.stderr
        return HEADER + run.stdout, said


def write():
    FILE.write_text(printed()[0])


def logins(found, said):
    """Who each workload logs in to Kafka as."""
    return [environment(each).get("SMS_ROUTER__PUBLISH__USER", said["publish"]["user"]) for each in workloads(found)]


def unknown(found, said, users):
    yield from (f"nobody is called {user}" for user in logins(found, said) if user not in users)


@claim("strimzi.yaml is what setup prints, word for word, and every pod logs in as one of its users by SCRAM")
def strimzi():
    wanted, said = printed()
    none([] if FILE.read_text() == wanted else ["strimzi.yaml is not what setup prints: judge.py --write"])
    users = {each["metadata"]["name"]: each["spec"] for each in of_kind(list(yaml.safe_load_all(wanted)), "KafkaUser")}
    none(f"{name} has no SCRAM" for name, spec in users.items() if spec["authentication"]["type"] != "scram-sha-512")
    found = objects("production")
    none(unknown(found, said, users))
    assert len(set(logins(found, said))) == len(users) == 4, "a user for each role"
    some(unknown(found, said, ["sms-router-serve"]), "a user that is not there", "nobody is called")
