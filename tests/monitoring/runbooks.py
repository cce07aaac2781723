"""The commands of k8s/runbooks.md, read from it and run.

A fenced block marked `console` whose first line is `# needs a cluster` is only read; `# serve is
stopped` says that it is run after the routers have ended; all others run beside a living installation.
A command begins with `$ `; a line that ends in a backslash goes on. Each must end with 0.
"""

import os
import re
import subprocess

import installation
from processes import ROOT, STATE

FILE = ROOT / "k8s/runbooks.md"
CLUSTER, STOPPED = "# needs a cluster", "# serve is stopped"
SECONDS = 120


def sections():
    """Heading to text, of the second level."""
    parts = re.split(r"^## (.+)$", FILE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def blocks():
    """(section, marker, commands) of every block of commands."""
    found = []
    for title, text in sections().items():
        for block in re.findall(r"^```console\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
            first = block.splitlines()[0]
            marker = first if first.startswith("#") else ""
            found.append((title, marker, commands(block)))
    return found


def commands(block):
    joined = re.sub(r"\\\n\s*", " ", block)
    return [line[2:] for line in joined.splitlines() if line.startswith("$ ")]


def environment(site):
    """What a person sets by the section "Before you begin", for this installation."""
    monitoring = site.ports["r-0"]["monitoring"]
    bin_folder = STATE / "bin"
    if not bin_folder.exists():
        bin_folder.mkdir()
        (bin_folder / "sms-router").symlink_to(installation.BINARY)
    return {
        **os.environ,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "IN_POD": "",
        "IN_DELIVER": "",
        "ROUTER": f"http://127.0.0.1:{monitoring}",
        "ARCHIVE": f"http://127.0.0.1:{site.ports['a-0']['monitoring']}",
        "DELIVER": f"http://127.0.0.1:{site.ports['d-0']['monitoring']}",
        "PROMETHEUS": site.prometheus,
        "ALERTMANAGER": site.alertmanager,
        "CONFIG": str(site.config),
        "SMS_ROUTER__DATA": str(STATE / "r-0"),
        "ACCOUNT": "council",
        "DEPARTMENT": "highways",
    }


def run_all(site, verdicts, stopped):
    """Runs the blocks for a living installation, or those for one whose routers have stopped."""
    surroundings, count = environment(site), 0
    for title, marker, lines in blocks():
        if marker == CLUSTER or (marker == STOPPED) != stopped:
            continue
        # One shell for a block: a variable that a line sets is there for the next.
        script = "set -euo pipefail\n" + "\n".join(lines)
        done = subprocess.run(["bash", "-c", script], env=surroundings, cwd=STATE, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=SECONDS, check=False)
        said = f"{script}\n{done.stdout[-1500:]}{done.stderr[-1500:]}"
        verdicts.equal(f"runbook {title!r} works", (done.returncode, "" if done.returncode == 0 else said), (0, ""))
        count += len(lines)
    print(f"   {count} commands of the runbooks", flush=True)


def check(verdicts, alerts):
    """Every alert has a section and every section of an alert an alert; every block can be run or says why not."""
    titles = sections()
    named = {title for title in titles if title.startswith("SmsRouter")}
    verdicts.equal("alerts without a runbook", sorted(set(alerts) - named), [])
    verdicts.equal("runbooks without an alert", sorted(named - set(alerts)), [])
    for title in sorted(named & set(alerts)):
        for part in ("Means", "See", "Do", "Over"):
            verdicts.holds(f"{title} says: {part}", f"**{part}.**" in titles[title])
    fences = re.findall(r"^```(\w*)$", FILE.read_text(), flags=re.MULTILINE)
    verdicts.holds("fences are console, toml or their end", set(fences) <= {"", "console", "toml"}, set(fences))
    for title, marker, lines in blocks():
        verdicts.holds(f"{title}: a block has commands and a known marker", lines and marker in ("", CLUSTER, STOPPED), marker)
        if marker == CLUSTER:
            verdicts.holds(f"{title}: what needs a cluster uses it", any(
                re.search(r"\b(kubectl|helm)\b", line) for line in lines), lines)
