"""Claims on the objects alone, and that each rule finds the harm it is there for."""

import copy

import rules
from claims import claim, none, some
from manifests import OVERLAYS, container, example_secrets, objects, of_kind, one, pod, router

CLUSTER = {"router": {53, 9093}, "archive": {53, 9093, 9142}, "deliver": {53, 443, 465, 587, 9093},
           "setup": {53, 9093, 9142}}
REACHES = {
    "demo": {"router": set()},
    "production": {**CLUSTER, "journal-replay": {53, 9093}},
    "production-without-journal": CLUSTER,
}


def every_overlay(rule, *more):
    for overlay in OVERLAYS:
        none(f"{overlay}: {problem}" for problem in rule(objects(overlay), *[each(overlay) for each in more]))


def changed(overlay, rule, expected, harm, *more):
    """`harm` is done to the objects, and the rule must say so."""
    found = objects(overlay)
    harm(found)
    some(rule(found, *more), f"{overlay}: {harm.__name__}", expected)


@claim("the overlays are those that this test knows")
def known():
    assert OVERLAYS == sorted(REACHES), OVERLAYS


@claim("texts answered 200 are on retained volumes: emptyDir, none, deletion, a Deployment, an autoscaler are refused")
def volumes():
    every_overlay(rules.kept_texts_stay)
    assert rules.keeps_texts(objects("production")) and not rules.keeps_texts(objects("production-without-journal"))

    def empty_dir(found):
        del router(found)["spec"]["volumeClaimTemplates"]
        pod(router(found))["volumes"].append({"name": "data", "emptyDir": {}})

    def empty_dir_beside_a_claim(found):
        pod(router(found))["volumes"].append({"name": "data", "emptyDir": {}})

    def no_volume(found):
        container(router(found))["volumeMounts"] = []

    def deployment(found):
        router(found)["kind"] = "Deployment"

    def deleted_when_scaled(found):
        router(found)["spec"]["persistentVolumeClaimRetentionPolicy"]["whenScaled"] = "Delete"

    def autoscaler(found):
        scaler = one(objects("production-without-journal"), "HorizontalPodAutoscaler", "sms-router")
        found.append(scaler)

    for overlay in ("demo", "production"):
        for harm, expected in [(empty_dir, "emptyDir"), (empty_dir_beside_a_claim, "emptyDir"),
                               (no_volume, "on no volume"), (deployment, "their own volumes"),
                               (deleted_when_scaled, "not retained"), (autoscaler, "autoscaler")]:
            changed(overlay, rules.kept_texts_stay, expected, harm)


@claim("pods are restricted, cannot write to their root, have no token, and say what they need")
def restricted():
    every_overlay(rules.pods_are_restricted)
    for overlay in OVERLAYS:
        labels = one(objects(overlay), "Namespace", "sms-router")["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted", labels

    def writable(found):
        container(router(found))["securityContext"]["readOnlyRootFilesystem"] = False

    def token(found):
        del pod(router(found))["automountServiceAccountToken"]

    def unlimited(found):
        del container(router(found))["resources"]["limits"]["memory"]

    for harm, expected in [(writable, "readOnlyRoot"), (token, "automount"), (unlimited, "no limits of ['memory']")]:
        changed("production", rules.pods_are_restricted, expected, harm)


@claim("the kubelet waits as long as a router may take to end, its journal too, and that is long enough for any text")
def endings():
    every_overlay(rules.ends_in_time)

    def hurried(found):
        pod(router(found))["terminationGracePeriodSeconds"] = 30

    def unnoticed(found):
        del container(router(found))["lifecycle"]

    changed("demo", rules.ends_in_time, "killed after", hurried)
    def unemptied(found):
        container(router(found))["lifecycle"]["preStop"] = {"sleep": {"seconds": 5}}

    def patient(found):
        container(router(found))["lifecycle"]["preStop"]["exec"]["command"][-1] = "90"

    changed("demo", rules.ends_in_time, "time to notice", unnoticed)
    changed("production", rules.ends_in_time, "time to notice", unnoticed)
    changed("production", rules.ends_in_time, "without emptying its journal", unemptied)
    changed("production", rules.ends_in_time, "killed after", patient)


@claim("ports are those of the settings' listeners, everywhere")
def ports():
    every_overlay(rules.ports_fit)

    def another(found):
        one(found, "NetworkPolicy", "inbound-from-ingress")["spec"]["ingress"][0]["ports"][0]["port"] = 8088

    def unopened(found):
        del container(router(found))["ports"][0]

    changed("production", rules.ports_fit, "8088", another)
    changed("production", rules.ports_fit, "the settings listen on", unopened)


@claim("the network lets through what is needed and no more")
def network():
    every_overlay(rules.network_is_closed, REACHES.get)

    def open_door(found):
        one(found, "NetworkPolicy", "kafka")["spec"]["egress"][0]["to"] = []

    def wide(found):
        one(found, "NetworkPolicy", "scylla")["spec"]["podSelector"] = {}

    def undenied(found):
        found.remove(one(found, "NetworkPolicy", "default-deny"))

    for harm, expected in [(open_door, "opens more"), (wide, "router may reach"), (undenied, "denies all")]:
        changed("production", rules.network_is_closed, expected, harm, REACHES["production"])


@claim("by HTTPS the public internet is reached and nothing private; no mail goes to the node itself or its metadata service")
def internet():
    every_overlay(rules.internet_is_public)

    def everywhere(found):
        one(found, "NetworkPolicy", "deliver-push")["spec"]["egress"][0]["to"][0]["ipBlock"]["except"].remove("10.0.0.0/8")

    def metadata(found):
        del one(found, "NetworkPolicy", "deliver-email")["spec"]["egress"][0]["to"][0]["ipBlock"]["except"][1]

    changed("production", rules.internet_is_public, "reaches 10.0.0.0/8", everywhere)
    changed("production", rules.internet_is_public, "reaches 169.254.0.0/16", metadata)


@claim("services, budgets, spreads and scrapes select pods that are there")
def selectors():
    every_overlay(rules.selectors_fit)

    def astray(found):
        selector = one(found, "PodDisruptionBudget", "sms-router")["spec"]["selector"]
        selector["matchLabels"]["app.kubernetes.io/component"] = "another"

    changed("production", rules.selectors_fit, "selects no pod", astray)


@claim("secrets are files from outside, named in the example, whose values are empty")
def secrets():
    every_overlay(rules.secrets_are_files, example_secrets)
    for overlay in OVERLAYS:
        filled = {name: entries for name, entries in example_secrets(overlay).items() if any(entries.values())}
        assert not filled, f"{overlay}: {filled}"

    def in_the_environment(found):
        source = {"secretKeyRef": {"name": "sms-router-keys", "key": "sender-key"}}
        container(router(found))["env"] = [{"name": "KEY", "valueFrom": source}]

    def unmounted(found):
        main = container(router(found))
        main["volumeMounts"] = [mount for mount in main["volumeMounts"] if mount["name"] != "carriers"]

    example = example_secrets("production")
    short = copy.deepcopy(example)
    del short["sms-router-keys"]
    some(rules.secrets_are_files(objects("production"), short), "a secret left out", "secrets.example.yaml has")
    changed("production", rules.secrets_are_files, "in no mounted secret", unmounted, example)
    changed("production", rules.secrets_are_files, "not for secrets", in_the_environment, example)


@claim("routes keep their name, settings change theirs")
def maps():
    every_overlay(rules.maps_are_named)

    def hashed(found):
        routes = next(each for each in pod(router(found))["volumes"] if each["name"] == "routes")
        routes["configMap"]["name"] += "-abcdefghij"

    changed("demo", rules.maps_are_named, "would not be swapped", hashed)


@claim("jobs wait to be started by hand; the one that empties a volume names the right one")
def jobs():
    every_overlay(rules.jobs_wait)
    none(rules.replay_finds_the_volume(objects("production")))

    def more(found):
        one(found, "StatefulSet", "sms-router")["spec"]["replicas"] = 5

    def awake(found):
        one(found, "CronJob", "sms-router-setup")["spec"]["suspend"] = False

    changed("production", rules.replay_finds_the_volume, "data-sms-router-5", more)
    changed("production", rules.jobs_wait, "by itself", awake)


@claim("production stands in zones, the demo alone; archive and deliverer run beside the routers")
def standing():
    for overlay in ("production", "production-without-journal"):
        none(rules.stands_in_zones(objects(overlay)))
        for role in ("archive", "deliver"):
            beside = one(objects(overlay), "Deployment", f"sms-router-{role}")
            assert container(beside)["args"][:2] == [role, "run"] and beside["spec"]["replicas"] == 2, beside
            assert pod(beside)["topologySpreadConstraints"][0]["topologyKey"] == "topology.kubernetes.io/zone", role
    demo = objects("demo")
    assert router(demo)["spec"]["replicas"] == 1
    assert not of_kind(demo, "PodDisruptionBudget"), "a budget on one router holds up every drain"
    assert router(objects("production"))["kind"] == "StatefulSet"
    assert router(objects("production-without-journal"))["kind"] == "Deployment"

    def two(found):
        router(found)["spec"]["replicas"] = 2

    def one_zone(found):
        del pod(router(found))["topologySpreadConstraints"]

    changed("production", rules.stands_in_zones, "2 routers", two)
    changed("production", rules.stands_in_zones, "not spread", one_zone)
