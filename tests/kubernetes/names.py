"""Claims on names: each command, option, setting, path, port and metric that k8s/ speaks of is one that the binary has.

Comes in: the manifests, and every page and rule below k8s/. Judged last, when the binary has shown its metrics.
"""

import functools
import re
import shlex
import subprocess

import service
from claims import claim, none, some
from files import BINARY, request
from manifests import OVERLAYS, ROOT, called, container, k8s_files, objects, pre_stop, workloads

# Not the names that recording rules make, which have a colon.
METRIC = re.compile(r"(?<!:)\bsms_router_[a-z0-9_]+\b(?!:)")
OPTION = re.compile(r"--?[a-zA-Z][a-z-]*")
VARIABLE = re.compile(r"\bSMS_ROUTER__[A-Z0-9_]+")
MONITORING_PATH = re.compile(r"(?<![\w/.])/(?:[a-z]+z|metrics|version)\b(?![/\w])")


@functools.cache
def help_of(*command):
    """What the binary says of a command; nothing where it has no such."""
    run = subprocess.run([BINARY, *command, "--help"], capture_output=True, text=True, timeout=20)
    return run.stdout if run.returncode == 0 else ""


def commands(text):
    """The names below `Commands:`."""
    below = text.partition("Commands:\n")[2].partition("\n\n")[0]
    return set(re.findall(r"^  ([a-z][a-z-]+)", below, re.M)) - {"help"}


def command_problems(words, where):
    """Words after `sms-router`: the commands first, then options of the last."""
    path, rest = [], list(words)
    while rest and commands(help_of(*path)):
        if rest[0] not in commands(help_of(*path)):
            yield f"{where}: no command `{' '.join([*path, rest[0]])}`"
            return
        path.append(rest.pop(0))
    known = set(OPTION.findall(help_of(*path)))
    options = [word.partition("=")[0] for word in rest if OPTION.fullmatch(word.partition("=")[0])]
    yield from (f"{where}: `{' '.join(path)}` has no {option}" for option in options if option not in known)


def spoken_of(text):
    """Commands of ours in prose and in shell lines."""
    known = "|".join(sorted(commands(help_of())))
    for line in text.splitlines():
        for match in re.finditer(rf"(?:^|[\s`/])sms-router (?=(?:{known})\b)([^`|;&#]*)", line):
            with_quotes = match.group(1)
            try:
                yield shlex.split(with_quotes)
            except ValueError:
                yield with_quotes.split()


def pages():
    return {path: path.read_text() for path in k8s_files()}


@claim("commands and options are the binary's")
def arguments():
    for overlay in OVERLAYS:
        for each in workloads(objects(overlay)):
            for words in (container(each)["args"], pre_stop(each)):
                none(command_problems(words, f"{overlay}, {called(each)}"))
    for path, text in pages().items():
        for words in spoken_of(text):
            none(command_problems(words, path.relative_to(ROOT)))
    some(command_problems(["journal", "replay", "--patience", "3"], "a test"), "an option", "no --patience")
    some(command_problems(["journal", "drain"], "a test"), "a command", "no command `journal drain`")
    assert list(spoken_of("run `sms-router journal status -c x` first")) == [["journal", "status", "-c", "x"]]


@functools.cache
def catalogue():
    """The metrics there are: those shown, and those that show only once something has been counted."""
    source = (ROOT / "src/telemetry/metrics.rs").read_text()
    named = set(re.findall(r'"(sms_router_[a-z0-9_]+)"', source))
    # Made by the library, under the names that Prometheus recommends.
    of_process = {name for name in service.shown if name.startswith("process_")}
    others = service.shown - of_process
    assert of_process and len(others) > 20 and others <= named, others - named
    histograms = set(re.findall(r'make\.histograms?\(\s*"(sms_router_[a-z0-9_]+)"', source))
    assert histograms
    return named | of_process | {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}


def metric_problems(text, where):
    yield from (f"{where}: no metric {name}" for name in sorted(set(METRIC.findall(text)) - catalogue()))


@claim("metrics are the binary's")
def metrics():
    for path, text in pages().items():
        none(metric_problems(text, path.relative_to(ROOT)))
    some(metric_problems("sms_router_journal_message > 0", "a test"), "a metric", "no metric sms_router_journal_mess")


@claim("settings in the environment are the binary's, in manifests and pages")
def variables():
    named = {name for text in pages().values() for name in VARIABLE.findall(text)}
    assert "SMS_ROUTER__ACCOUNTS" in named
    for name in sorted(named):
        none(f"{name}: {problem}" for problem in unknown(name))
    some(unknown("SMS_ROUTER__PUBLISH__JOURNALL"), "a variable", "journall")


def unknown(name):
    """What `check` says of a variable's name, whatever it thinks of the value."""
    with service.laid_out("production") as laid:
        laid.overrides[name] = "1"
        key = name.removeprefix("SMS_ROUTER__").replace("__", ".").lower()
        return [said for said in service.problems_of(laid) if said.startswith(key) and "is not a setting" in said]


@claim("paths are the binary's")
def paths():
    with service.laid_out("demo") as laid:
        ports = service.Ports(laid)
        with laid.running():
            service.probes(laid, ports)
            ask = lambda path: ports.monitor(path)[0]
            named = {path for text in pages().values() for path in MONITORING_PATH.findall(text)}
            assert {"/livez", "/readyz", "/startupz"} <= named, named
            none(f"{path} is answered {ask(path)}" for path in sorted(named) if ask(path) != 200)
            assert ask("/healthz") == 404
            assert request(f"http://127.0.0.1:{ports.inbound}/metrics")[0] == 404
