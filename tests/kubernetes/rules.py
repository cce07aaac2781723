"""What must be true of the objects, as functions from objects to problems: so a changed one can be shown to have some.

Not here: what only the binary can say (`service`), what schemas say (`shape`).
"""

import pathlib
import re
import tomllib

from manifests import (called, claims_of, container, environment, of_kind, one, pod, pre_stop_s, router, selects,
                       sources, template, workloads)

# From src/app/log.rs and src/cli/serve.rs: the flush of the producers, threads that block. What is not set has the
# README's default.
FLUSH_MS, LINGER_MS = 5_000, 1_000
BODY_TIMEOUT_MS, DEADLINE_MAX_MS, DRAIN_DELAY_MS, GRACE_MS = 5_000, 10_000, 0, 25_000
# What no policy that names the internet may mean: the node itself and its metadata service; by HTTPS all that is private.
NODE = {"127.0.0.0/8", "169.254.0.0/16"}
PRIVATE = NODE | {"10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"}
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def settings(found):
    maps = [each for each in of_kind(found, "ConfigMap") if "sms-router.toml" in each["data"]]
    assert len(maps) == 1, f"{len(maps)} ConfigMaps hold settings"
    return tomllib.loads(maps[0]["data"]["sms-router.toml"])


def journals(found):
    """Whether texts that Kafka has not taken are on a disk of the router's."""
    publish = settings(found).get("publish", {})
    return publish.get("to", "local") == "kafka" and publish.get("journal", True)


def keeps_texts(found):
    """Whether texts that were answered 200 are on a disk of the router's."""
    return settings(found).get("publish", {}).get("to", "local") == "local" or journals(found)


def kept_texts_stay(found):
    """What is on a router's disk outlives the pod, the number of replicas and the StatefulSet."""
    if not keeps_texts(found):
        return
    serving, data = router(found), pathlib.PurePosixPath(settings(found)["data"])
    mounts = {pathlib.PurePosixPath(mount["mountPath"]): mount["name"] for mount in container(serving)["volumeMounts"]}
    above = [folder for folder in [data, *data.parents] if folder in mounts]
    if not above:
        yield f"{data} is on no volume"
    else:
        name = mounts[above[0]]
        beside = [volume for volume in pod(serving).get("volumes", []) if volume["name"] == name]
        if name not in claims_of(serving) or any("persistentVolumeClaim" not in volume for volume in beside):
            yield f"{data} is on {beside or 'no volume'}, not on a claim: texts answered 200 would go with the pod"
        if data == above[0]:
            yield f"{data} is the volume's root, whose mode fsGroup opens to others"
    if serving["kind"] != "StatefulSet":
        yield f"{called(serving)}: replicas would not find their own volumes again"
    retention = serving["spec"].get("persistentVolumeClaimRetentionPolicy", {})
    if {retention.get("whenDeleted"), retention.get("whenScaled")} != {"Retain"}:
        yield f"{called(serving)}: volumes are not retained, but {retention}"
    for scaler in of_kind(found, "HorizontalPodAutoscaler"):
        if scaler["spec"]["scaleTargetRef"]["name"] == serving["metadata"]["name"]:
            yield "an autoscaler would leave volumes with texts behind"


def pods_are_restricted(found):
    """Pod Security "restricted", and a root file system nobody writes to, and no token."""
    for workload in workloads(found):
        spec, main = pod(workload), container(workload)
        security, own = spec.get("securityContext", {}), main.get("securityContext", {})
        wanted = [
            (security.get("runAsNonRoot"), True, "runAsNonRoot"),
            (security.get("runAsUser"), 65532, "runAsUser"),
            (security.get("seccompProfile", {}).get("type"), "RuntimeDefault", "seccompProfile"),
            (own.get("allowPrivilegeEscalation"), False, "allowPrivilegeEscalation"),
            (own.get("readOnlyRootFilesystem"), True, "readOnlyRootFilesystem"),
            (own.get("capabilities"), {"drop": ["ALL"]}, "capabilities"),
            (own.get("privileged", False), False, "privileged"),
            (spec.get("automountServiceAccountToken"), False, "automountServiceAccountToken"),
            (spec.get("serviceAccountName"), "sms-router", "serviceAccountName"),
            (spec.get("enableServiceLinks"), False, "enableServiceLinks"),
            (any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")), False, "the host's namespaces"),
        ]
        yield from (f"{called(workload)}: {what} is {said!r}" for said, wish, what in wanted if said != wish)
        kinds = {kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"}
        if odd := kinds - {"configMap", "secret", "persistentVolumeClaim"}:
            yield f"{called(workload)}: volumes of kind {odd}"
        resources = main.get("resources", {})
        for side in ("requests", "limits"):
            if lacking := {"cpu", "memory", "ephemeral-storage"} - set(resources.get(side, {})):
                yield f"{called(workload)}: no {side} of {sorted(lacking)}"


def ends_in_time(found):
    """The kubelet waits longer than a router that ends in order takes at most; that is longer than any text takes."""
    serving, said = router(found), settings(found)
    inbound = said.get("inbound", {})
    sleep, wait = pre_stop_s(serving)
    drain, grace = said.get("drain_delay_ms", DRAIN_DELAY_MS), said.get("grace_ms", GRACE_MS)
    if not sleep or not drain:
        yield "proxies are not given time to notice: preStop and drain_delay_ms"
    if journals(found) and not wait:
        yield f"{called(serving)}: leaves without emptying its journal"
    takes = (sleep + wait) * 1_000 + drain + grace + LINGER_MS
    if (allowed := pod(serving).get("terminationGracePeriodSeconds", 30) * 1_000) < takes:
        yield f"killed after {allowed} ms, though ending may take {takes}"
    text = inbound.get("body_timeout_ms", BODY_TIMEOUT_MS) + inbound.get("deadline_max_ms", DEADLINE_MAX_MS) + FLUSH_MS
    if grace < text:
        yield f"grace_ms is {grace}, though a text may take {text}"


def port_of(address):
    return int(address.rpartition(":")[2])


def ports_fit(found):
    """Ports of containers, services, probes, policies and scrapes are those of the settings' listeners."""
    said = settings(found)
    listens = {name: said[name]["listen"] for name in ("inbound", "api", "monitoring")}
    open_to_network = {name: port_of(address) for name, address in listens.items() if not address.startswith("127.")}
    names = {}
    for workload in workloads(found):
        main = container(workload)
        own = {port["name"]: port["containerPort"] for port in main.get("ports", [])}
        wanted = open_to_network if main["args"][0] == "serve" else \
            {"monitoring": open_to_network["monitoring"]} if workload["kind"] != "CronJob" else {}
        if own != wanted:
            yield f"{called(workload)}: ports are {own}, the settings listen on {wanted}"
        probes = [main[probe]["httpGet"]["port"] for probe in PROBES if probe in main]
        if set(probes) - {"monitoring"} or (workload["kind"] != "CronJob" and len(probes) != 3):
            yield f"{called(workload)}: probes ask {probes}"
        names |= own
    for service in of_kind(found, "Service"):
        for port in service["spec"]["ports"]:
            if names.get(port["targetPort"]) != port["port"]:
                yield f"{called(service)}: {port}"
    for monitor in of_kind(found, "PodMonitor"):
        ends = monitor["spec"]["podMetricsEndpoints"]
        yield from (f"{called(monitor)}: {end}" for end in ends if end["port"] != "monitoring")
    for policy in of_kind(found, "NetworkPolicy"):
        doors = [port for rule in policy["spec"].get("ingress", []) for port in rule.get("ports", [{"port": "any"}])]
        ports = {port["port"] for port in doors}
        if odd := ports - set(open_to_network.values()):
            yield f"{called(policy)}: lets in to {odd}, where nobody listens"


def egress(found, component):
    """Ports that pods of a component may reach."""
    labels = {"app.kubernetes.io/name": "sms-router", "app.kubernetes.io/component": component}
    policies = [each["spec"] for each in of_kind(found, "NetworkPolicy")]
    policies = [spec for spec in policies if selects(spec["podSelector"], labels)]
    return {port["port"] for spec in policies for rule in spec.get("egress", []) for port in rule["ports"]}


def network_is_closed(found, reaches):
    """Everything is refused but what is named; `reaches`: component → ports it may reach, exactly."""
    policies = of_kind(found, "NetworkPolicy")
    denies = [each for each in policies if each["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}]
    if len(denies) != 1:
        yield "no policy denies all"
    for policy in policies:
        rules = [(rule, "from") for rule in policy["spec"].get("ingress", [])]
        rules += [(rule, "to") for rule in policy["spec"].get("egress", [])]
        for rule, side in rules:
            peers = rule.get(side, [])
            named = all(peer.get("namespaceSelector") or "ipBlock" in peer for peer in peers)
            if not peers or not named or not rule.get("ports"):
                yield f"{called(policy)}: opens more than a named namespace and port"
    components = {template(each)["metadata"]["labels"]["app.kubernetes.io/component"] for each in workloads(found)}
    if components != set(reaches):
        yield f"components are {components}"
    for component in components & set(reaches):
        if (ports := egress(found, component)) != reaches[component]:
            yield f"{component} may reach {ports}, and needs {reaches[component]}"


def internet_is_public(found):
    """Policies that name the internet leave out what is near."""
    for policy in of_kind(found, "NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            least = PRIVATE if 443 in {port["port"] for port in rule["ports"]} else NODE
            for block in [peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer]:
                lacking = least - set(block.get("except", []))
                yield from (f"{called(policy)} reaches {network}" for network in sorted(lacking))


def selectors_fit(found):
    """Services, budgets, spreads and scrapes mean pods that are there."""
    labels = [template(each)["metadata"]["labels"] for each in workloads(found)]
    selectors = [(called(each), {"matchLabels": each["spec"]["selector"]}) for each in of_kind(found, "Service")]
    for kind in ("PodDisruptionBudget", "PodMonitor", "StatefulSet", "Deployment"):
        selectors += [(called(each), each["spec"]["selector"]) for each in of_kind(found, kind)]
    for each in workloads(found):
        selectors += [(called(each), rule["labelSelector"]) for rule in pod(each).get("topologySpreadConstraints", [])]
    for name, selector in selectors:
        if not any(selects(selector, each) for each in labels):
            yield f"{name} selects no pod"


def secrets_are_files(found, example):
    """Secrets are mounted from outside, none is in the manifests or the environment; the example names them all."""
    yield from (f"{called(each)} is in the manifests" for each in of_kind(found, "Secret"))
    used = {entry["secretName"] for each in of_kind(found, "Ingress") for entry in each["spec"].get("tls", [])}
    for workload in workloads(found):
        main = container(workload)
        if "envFrom" in main or any("valueFrom" in variable for variable in main.get("env", [])):
            yield f"{called(workload)}: the environment is not for secrets"
        for volume in pod(workload).get("volumes", []):
            if secret := volume.get("secret"):
                used.add(secret["secretName"])
                if secret.get("defaultMode", 0o644) & 0o007:
                    yield f"{called(workload)}: {secret['secretName']} is readable by others"
    if used != set(example):
        yield f"secrets.example.yaml has {sorted(example)}, used are {sorted(used)}"
    texts = [each["data"] for each in of_kind(found, "ConfigMap")] + [environment(each) for each in workloads(found)]
    named = set(re.findall(r'file = "(/etc/sms-router/(?:secrets|tls)/[^"]+)"', str(texts)))
    for workload in workloads(found):
        secret = sources(workload, "secret", "secretName")
        for mount in container(workload)["volumeMounts"]:
            keys = example.get(secret.get(mount["name"]), {})
            named -= {f"{mount['mountPath']}/{key}" for key in keys}
    yield from (f"{path} is in no mounted secret" for path in sorted(named))


def maps_are_named(found):
    """Routes under a name that stays, so that the kubelet swaps them; settings under one that changes with them."""
    for workload in workloads(found):
        maps = sources(workload, "configMap", "name")
        if maps.get("routes") != "sms-router-routes":
            yield f"{called(workload)}: routes would not be swapped below a running pod: {maps}"
        if not re.fullmatch(r"sms-router-settings-[a-z0-9]{10}", maps.get("settings", "")):
            yield f"{called(workload)}: other settings would not be other pods: {maps}"
        lacking = [name for name in maps.values() if not of_kind(found, "ConfigMap", name)]
        yield from (f"{called(workload)}: no ConfigMap {name}" for name in lacking)


def replay_finds_the_volume(found):
    """The job that empties a volume names the first that the replicas leave over."""
    serving = one(found, "StatefulSet", "sms-router")
    job = one(found, "CronJob", "sms-router-journal-replay")
    claim = serving["spec"]["volumeClaimTemplates"][0]["metadata"]["name"]
    expected = f"{claim}-sms-router-{serving['spec']['replicas']}"
    named = list(sources(job, "persistentVolumeClaim", "claimName").values())
    if named != [expected]:
        yield f"the job mounts {named}, the volume is {expected}"


def jobs_wait(found):
    awake = [job for job in of_kind(found, "CronJob") if not job["spec"].get("suspend")]
    yield from (f"{called(job)} would run by itself" for job in awake)


def stands_in_zones(found):
    """Three routers at least, over zones, and a drain takes one."""
    serving = router(found)
    scalers = of_kind(found, "HorizontalPodAutoscaler")
    replicas = scalers[0]["spec"]["minReplicas"] if scalers else serving["spec"].get("replicas", 1)
    if replicas < 3:
        yield f"{replicas} routers"
    if scalers and "replicas" in serving["spec"]:
        yield "the number of replicas is the autoscaler's"
    constraints = pod(serving).get("topologySpreadConstraints", [])
    spread = {rule["topologyKey"]: rule["whenUnsatisfiable"] for rule in constraints}
    if spread.get("topology.kubernetes.io/zone") != "DoNotSchedule":
        yield f"routers are not spread over zones: {spread}"
    for workload in workloads(found):
        if workload["kind"] == "CronJob":
            continue
        budgets = [each for each in of_kind(found, "PodDisruptionBudget")
                   if selects(each["spec"]["selector"], template(workload)["metadata"]["labels"])]
        if [each["spec"].get("maxUnavailable") for each in budgets] != [1]:
            yield f"{called(workload)}: no budget of one"
