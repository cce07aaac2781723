"""The rules as Prometheus and promtool read them, and both configurations with shorter times.

    rules.py k8s/monitoring/rules.yaml [--divide 60]    prints the groups of a PrometheusRule

Comes in: the one source of the rules, Alertmanager's configuration. Goes out: the same, every
duration divided if asked for. Always true: a division changes durations and nothing else.
"""

import argparse
import copy
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = ROOT / "k8s/monitoring/rules.yaml"
ALERTMANAGER = ROOT / "k8s/monitoring/alertmanager.yaml"

UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
DURATION = r"(?:\d+(?:ms|[smhdwy]))+"
# Range selectors, subqueries and offsets; a bracket in a label's pattern holds no duration.
IN_EXPRESSION = re.compile(rf"(?P<before>\[|:|\boffset\s+-?)(?P<duration>{DURATION})(?=\]|:|\s|\)|$)")
# Settings of groups, rules and Alertmanager whose value is a duration.
DURATION_KEYS = {"interval", "for", "keep_firing_for", "group_wait", "group_interval", "repeat_interval"}


def milliseconds(duration):
    parts = re.findall(r"(\d+)(ms|[smhdwy])", duration)
    return sum(int(count) * UNITS_MS[unit] for count, unit in parts)


def divided(duration, divisor):
    whole = milliseconds(duration)
    if whole % divisor:
        sys.exit(f"{duration} cannot be divided by {divisor} in whole milliseconds")
    result = whole // divisor
    return f"{result // 1000}s" if result % 1000 == 0 else f"{result}ms"


def with_durations(node, change):
    """The same tree with `change` applied to every duration in it."""
    def expression(text):
        return IN_EXPRESSION.sub(lambda found: found["before"] + change(found["duration"]), text)

    if isinstance(node, list):
        return [with_durations(each, change) for each in node]
    if not isinstance(node, dict):
        return node
    result = {}
    for key, value in node.items():
        if key in DURATION_KEYS:
            result[key] = change(value)
        elif key == "expr":
            result[key] = expression(value)
        else:
            result[key] = with_durations(value, change)
    return result


def divide(tree, divisor):
    return copy.deepcopy(tree) if divisor == 1 else with_durations(tree, lambda each: divided(each, divisor))


def durations(tree):
    """Every duration in it, in order, in milliseconds."""
    found = []

    def note(duration):
        found.append(milliseconds(duration))
        return duration

    with_durations(tree, note)
    return found


def groups(divisor=1):
    """What Prometheus takes as a rule file."""
    source = yaml.safe_load(RULES.read_text())
    return divide({"groups": source["spec"]["groups"]}, divisor)


def alerts():
    """Every alerting rule, by name."""
    rules = [rule for group in groups()["groups"] for rule in group["rules"]]
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


def main():
    parser = argparse.ArgumentParser(description="prints the rule groups of a PrometheusRule")
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--divide", type=int, default=1, metavar="N", help="divides every duration")
    arguments = parser.parse_args()
    source = yaml.safe_load(arguments.file.read_text())
    yaml.safe_dump(divide({"groups": source["spec"]["groups"]}, arguments.divide), sys.stdout, sort_keys=False, width=1000)


if __name__ == "__main__":
    main()
