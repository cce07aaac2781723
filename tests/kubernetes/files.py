"""A pod's files below a folder of ours, as the kubelet would mount them, and the binary run on them as the pod runs it.

Comes in: objects, a workload, an overlay's secrets. Goes out: a tree with the same links that the kubelet makes, where
/etc/sms-router and /var/lib/sms-router have moved below the folder, in the settings and in the environment as well; a
finished or a running process. Always true: a volume that is neither ConfigMap, Secret nor claim is not laid out.
"""

import base64
import contextlib
import functools
import os
import pathlib
import re
import secrets
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

import manifests

BINARY = os.environ.get("SMS_ROUTER_BIN", str(manifests.ROOT / "target/debug/sms-router"))
OWN_PATHS = re.compile(r"/(?:etc|var/lib)/sms-router(?=/)")
WAIT_S = 40
MAKING_CERTIFICATES = threading.Lock()


def certificate(number):
    """A certificate and its key in PEM; another for each number, the same for all who ask."""
    with MAKING_CERTIFICATES:
        return make_certificate(number)


@functools.cache
def make_certificate(number):
    with tempfile.TemporaryDirectory() as folder:
        key, chain = f"{folder}/key", f"{folder}/chain"
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        holder = ["-subj", f"/CN=test-{number}", "-addext", "subjectAltName=IP:127.0.0.1",
                  "-addext", "basicConstraints=critical,CA:FALSE"]
        subprocess.run(["openssl", "req", "-x509", *kind, *holder, "-keyout", key, "-out", chain],
                       check=True, capture_output=True, timeout=30)
        return pathlib.Path(chain).read_text(), pathlib.Path(key).read_text()


def dummies(overlay):
    """Something usable for each key that the example lists."""
    chain, key = certificate(1)
    known = {"tls.crt": chain, "ca.crt": chain, "tls.key": key, "demo": standard_webhooks()}
    given = {name: {entry: known.get(entry, secrets.token_hex(32)) for entry in entries}
             for name, entries in manifests.example_secrets(overlay).items()}
    pushes = {entry: standard_webhooks() for entry in given.get("sms-router-push", {})}
    return given | ({"sms-router-push": pushes} if pushes else {})


def standard_webhooks():
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def place(folder, entries):
    """Files behind two links, the first of which is swapped as a whole when they change."""
    version = f"..{time.time_ns()}"
    (folder / version).mkdir(parents=True)
    for name, content in entries.items():
        (folder / version / name).write_text(content)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..data.new").symlink_to(version)
    (folder / "..data.new").rename(folder / "..data")


class Pod:
    """The files of one replica; ends with its folder."""

    def __init__(self, found, workload, given):
        self.temporary = tempfile.TemporaryDirectory(prefix="sms-router-pod-")
        self.root, self.workload = pathlib.Path(self.temporary.name), workload
        volumes = {volume["name"]: volume for volume in manifests.pod(workload).get("volumes", [])}
        on_claims = manifests.claims_of(workload)
        for mount in manifests.container(workload)["volumeMounts"]:
            assert "subPath" not in mount, f"{mount['mountPath']}: a subPath is never brought up to date"
            folder, volume = self.folder(mount["mountPath"]), volumes.get(mount["name"], {})
            if mount["name"] in on_claims:
                folder.mkdir(parents=True)
            elif "configMap" in volume:
                data = manifests.one(found, "ConfigMap", volume["configMap"]["name"])["data"]
                place(folder, {name: self.moved(text) for name, text in data.items()})
            elif "secret" in volume:
                place(folder, given[volume["secret"]["secretName"]])
            else:
                raise AssertionError(f"{manifests.called(workload)}: no files are known for {mount} from {volume}")
        # Variables of the test; `None` takes one of the pod's away.
        self.overrides = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.temporary.cleanup()

    def folder(self, path):
        return self.root / path.lstrip("/")

    def moved(self, text):
        return OWN_PATHS.sub(lambda match: f"{self.root}{match.group()}", text)

    def arguments(self):
        return [self.moved(argument) for argument in manifests.container(self.workload)["args"]]

    def settings(self):
        """The option that names the settings."""
        arguments = self.arguments()
        return arguments[arguments.index("-c"):][:2]

    def environment(self):
        own = {name: self.moved(value) for name, value in manifests.environment(self.workload).items()}
        # Kubernetes sets this in every container; the built-in sample then refuses to run.
        all_of_them = {"PATH": os.environ["PATH"], "KUBERNETES_SERVICE_HOST": "10.96.0.1", **own, **self.overrides}
        return {name: value for name, value in all_of_them.items() if value is not None}

    def run(self, arguments, **more):
        return subprocess.run([BINARY, *arguments], env={**self.environment(), **more}, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=WAIT_S)

    @contextlib.contextmanager
    def running(self):
        """What the container runs, ended whatever happens; its log is shown when something is wrong."""
        log = self.root / "log"
        with log.open("ab") as out:
            process = subprocess.Popen([BINARY, *self.arguments()], env=self.environment(), stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=subprocess.STDOUT)
        try:
            yield process
        except BaseException:
            print(log.read_text()[-4000:], flush=True)
            raise
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(WAIT_S)


def until(what, condition, within_s=WAIT_S):
    """Asks ten times a second; what it answers when that is true."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if answer := condition():
                return answer
        time.sleep(0.1)
    raise AssertionError(f"within {within_s} s it did not come true that {what}")


def request(url, data=None, headers=None, context=None):
    """Status and body of an answer, whatever the status."""
    asked = urllib.request.Request(url, data=data, headers=headers or {})
    try:
        with urllib.request.urlopen(asked, timeout=20, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def stop(process):
    """SIGTERM; exit code and seconds until then."""
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    return process.wait(120), time.monotonic() - begin
