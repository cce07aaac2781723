"""The dashboard held against itself and against a real Prometheus.

Comes in: k8s/monitoring/dashboard.json. Goes out: verdicts. Not here: how Grafana draws it.
"""

import itertools
import json
import math
import time

from processes import ROOT

FILE = ROOT / "k8s/monitoring/dashboard.json"
# What Grafana fills in.
VARIABLES = {"$__rate_interval": "10s", "$__range": "5m", "$namespace": "sms"}
WIDTH = 24
# What the dashboard must tell of, each in a row of its own.
ROWS = ["Is all well?", "Traffic", "Latency", "Departments", "Deliveries", "Carriers", "Kafka producer",
        "Journal and archive", "Pods"]
FUNNEL = ["received", "verified", "routed", "matched a keyword", "acknowledged", "archived"]


def panels():
    board = json.loads(FILE.read_text())
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions():
    """(panel's title, letter, expression) of every query."""
    return [(panel["title"], target["refId"], target["expr"]) for panel in panels() for target in panel["targets"]]


def check(verdicts):
    """What can be told without a server."""
    board = json.loads(FILE.read_text())
    everything = board["panels"]
    verdicts.equal("rows", [panel["title"] for panel in everything if panel["type"] == "row"], ROWS)
    verdicts.equal("every panel has an id of its own", len({panel["id"] for panel in everything}), len(everything))
    for one, other in itertools.combinations(everything, 2):
        if overlap(one["gridPos"], other["gridPos"]):
            verdicts.holds("panels do not lie on one another", False, f"{one['title']}, {other['title']}")
    for panel in panels():
        place = panel["gridPos"]
        verdicts.holds(f"{panel['title']} is on the board and asks something",
                       place["x"] + place["w"] <= WIDTH and panel["targets"] and panel["fieldConfig"]["defaults"]["unit"])
        letters = [target["refId"] for target in panel["targets"]]
        verdicts.equal(f"{panel['title']}: queries have letters of their own", len(set(letters)), len(letters))
    for title, letter, expression in expressions():
        unknown = filled(expression).count("$")
        verdicts.equal(f"{title} {letter} uses variables that Grafana or the board has", unknown, 0)
    funnel = next(panel for panel in panels() if panel["title"].startswith("Funnel"))
    verdicts.equal("the funnel's stages", [target["legendFormat"] for target in funnel["targets"]], FUNNEL)


def overlap(one, other):
    return (one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
            and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"])


def filled(expression, **other):
    """With Grafana's variables; `rate_interval` may be another."""
    replaced = {f"$__{name}": value for name, value in other.items()}
    for name, value in {**VARIABLES, **replaced}.items():
        expression = expression.replace(name, value)
    return expression


def ask_all(site, since, verdicts):
    """Every query of every panel, over the whole time that was watched: each must have an answer."""
    asked = 0
    for title, letter, expression in expressions():
        try:
            series = site.query_range(filled(expression), since, time.time())
        except (ValueError, KeyError) as error:
            verdicts.holds(f"panel {title} {letter} is understood", False, error)
            continue
        numbers = [value for _, points in series for _, value in points if math.isfinite(value)]
        verdicts.holds(f"panel {title} {letter} has an answer", numbers, expression)
        asked += 1
    print(f"   {asked} queries of {len(panels())} panels", flush=True)
