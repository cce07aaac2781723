"""Rules, cases, runbooks, dashboard and notification settings, held against one another and the code.

Comes in: the files under k8s/, promtool and amtool. Goes out: verdicts. Needs no server.
"""

import re
import subprocess

import yaml

import dashboard
import rules
import runbooks
from processes import ROOT, STATE
from router import Verdicts

CASES = ROOT / "tests/monitoring/cases.yaml"
DIVIDE = 60
RUNBOOK_URL = "https://example.gov.uk/sms-router/runbooks#"
# All that a rule may tell apart by. None can hold a resident's number or words.
LABELS = {"namespace", "instance", "job", "account", "department", "reason", "kind", "fault", "listener",
          "channel"}
METRIC = re.compile(r"\b(sms_router_[a-z_]+|process_[a-z_]+|ALERTS|up)\b")


def tool(verdicts, what, *command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, check=False)
    verdicts.equal(what, (done.returncode, "" if done.returncode == 0 else done.stdout + done.stderr), (0, ""))


def files():
    """The rules as production has them and as the live test has them."""
    STATE.mkdir(parents=True, exist_ok=True)
    for divisor in (1, DIVIDE):
        (STATE / f"rules-{divisor}.yaml").write_text(yaml.safe_dump(rules.groups(divisor), sort_keys=False))
    return [STATE / "rules-1.yaml", STATE / f"rules-{DIVIDE}.yaml"]


def only_durations_differ(verdicts):
    """The rules and notifications of the live test are those of production, each time a sixtieth."""
    notifications = yaml.safe_load(rules.ALERTMANAGER.read_text())
    for name, whole, part in (
        ("rules", rules.groups(), rules.groups(DIVIDE)),
        ("notifications", notifications, rules.divide(notifications, DIVIDE)),
    ):
        long, short = rules.durations(whole), rules.durations(part)
        verdicts.holds(f"{name} have durations", len(long) > 2)
        verdicts.equal(f"{name}: each duration is a sixtieth", [each * DIVIDE for each in short], long)
        same = [rules.with_durations(tree, lambda _: "1s") for tree in (whole, part)]
        verdicts.holds(f"{name}: nothing but durations differs", same[0] == same[1])
    windows = {found["duration"] for rule in all_rules() for found in rules.IN_EXPRESSION.finditer(rule["expr"])}
    verdicts.holds("no window of the rules is overlooked", {"5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"} <= windows, windows)
    for rule in all_rules():
        bracketed = [each for each in re.findall(r"\[([^\]]*)\]", re.sub(r'"[^"]*"', "", rule["expr"]))]
        found = [each["duration"] for each in rules.IN_EXPRESSION.finditer(rule["expr"]) if each["before"] == "["]
        verdicts.equal(f"{rule.get('alert') or rule['record']}: every range is seen", found, bracketed)


def all_rules():
    return [rule for group in rules.groups()["groups"] for rule in group["rules"]]


def expected(rule, labels):
    """The series that promtool must find for a firing alert."""
    labels = {"alertname": rule["alert"], "alertstate": "firing", **rule["labels"], **labels}
    return "ALERTS{" + ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}"


def unit_test(rule, case, fires):
    question = f'ALERTS{{alertname="{rule["alert"]}", alertstate="firing"}}'
    samples = [{"labels": expected(rule, case["labels"]), "value": 1}] if fires else []
    return {
        "interval": case.get("every", "1m"),
        "input_series": [{"series": series, "values": values} for series, values in case["series"].items()],
        "promql_expr_test": [{"expr": question, "eval_time": case["at"], "exp_samples": samples}],
    }


def unit_tests(verdicts, alerts):
    """Every alert has a case that fires and one that does not; promtool judges them."""
    cases, tests = yaml.safe_load(CASES.read_text()), {}
    verdicts.equal("every alert has cases and every case an alert", sorted(cases), sorted(alerts))
    for name in sorted(set(alerts) & set(cases)):
        rule, each = alerts[name], cases[name]
        verdicts.holds(f"{name} has both cases", each.get("fires") and each.get("silent"))
        for case in each["fires"] + each["silent"]:
            fires = case in each["fires"]
            tests.setdefault((group_of(name), case.get("every", "1m")), []).append(unit_test(rule, case, fires))
            if fires and "absent(" not in rule["expr"]:
                told = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
                verdicts.holds(f"{name}: its words name labels that it has", told <= set(case["labels"]), told)
    for (group, interval), of_group in tests.items():
        file = test_file(group, interval, of_group)
        tool(verdicts, f"promtool test rules: {len(of_group)} cases of {group}", "promtool", "test", "rules", file)


def group_of(alert):
    return next(group["name"] for group in rules.groups()["groups"] for rule in group["rules"] if rule.get("alert") == alert)


def test_file(group, interval, tests):
    """With the rules of that group and what is recorded for it: promtool evaluates all it is given."""
    needed = [each for each in rules.groups()["groups"] if each["name"] == group]
    if "namespace:" in str(needed):
        needed += [each for each in rules.groups()["groups"] if any("record" in rule for rule in each["rules"])]
        needed.reverse()
    (STATE / f"{group}.yaml").write_text(yaml.safe_dump({"groups": needed}, sort_keys=False))
    file = STATE / f"{group}-{interval}.test.yaml"
    order = [each["name"] for each in needed]
    content = {"rule_files": [f"{group}.yaml"], "evaluation_interval": interval, "group_eval_order": order, "tests": tests}
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def words_of_alerts(verdicts, alerts):
    for name, rule in alerts.items():
        verdicts.holds(f"{name} is a page or a ticket", rule["labels"]["severity"] in ("page", "ticket"))
        verdicts.equal(f"{name} says", sorted(rule["annotations"]), ["description", "runbook_url", "summary"])
        verdicts.equal(f"{name}: its runbook", rule["annotations"]["runbook_url"], RUNBOOK_URL + name.lower())
        grouped = {label.strip() for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", rule["expr"]) for label in group.split(",")}
        told = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        verdicts.holds(f"{name}: no label may be a resident's", grouped | told <= LABELS | {"version"}, grouped | told)


def notifications(verdicts, alerts):
    """Everything that depends on something is held back by it, and no root cause by itself."""
    tool(verdicts, "amtool check-config", "amtool", "check-config", rules.ALERTMANAGER)
    for severity, receiver in (("page", "on-call"), ("ticket", "tickets")):
        tool(verdicts, f"a {severity} goes to {receiver}", "amtool", "config", "routes", "test",
             f"--config.file={rules.ALERTMANAGER}", f"--verify.receivers={receiver}", f"severity={severity}")
    config = yaml.safe_load(rules.ALERTMANAGER.read_text())
    matchers = str(config["inhibit_rules"])
    tokens = {token for rule in alerts.values() for token in rule["labels"].get("depends_on", "").split(",") if token}
    for token in sorted(tokens):
        verdicts.holds(f"what depends on {token} is held back by something", f"(.*,)?{token}(,.*)?" in matchers)
    named = set(re.findall(r"SmsRouter\w+", matchers)) - {"SmsRouterArchive"}
    verdicts.holds("inhibition names alerts that exist", named <= set(alerts), named - set(alerts))


def names(verdicts):
    """What rules and dashboard ask for is what the code counts, and the other way round."""
    sources = [path.read_text() for path in (ROOT / "src").rglob("*.rs")]
    counted = {name for text in sources for name in re.findall(r'"(sms_router_[a-z_]+)"', text)}
    recorded = {rule["record"] for rule in all_rules() if "record" in rule}
    asked = set()
    for expression in [rule["expr"] for rule in all_rules()] + [each[2] for each in dashboard.expressions()]:
        for record in re.findall(r"namespace:[a-z_]+:ratio_rate\w+", expression):
            verdicts.holds("a recorded series that is asked for is recorded", record in recorded, record)
        bare = re.sub(r'"[^"]*"|namespace:[a-z_]+:\w+', "", expression)
        asked |= {name for name in METRIC.findall(bare) if name.startswith("sms_router_")}
    asked = {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked}
    verdicts.equal("metrics that nobody counts", sorted(asked - counted), [])
    verdicts.equal("metrics that neither rules nor dashboard show", sorted(counted - asked), [])


def main():
    verdicts, alerts = Verdicts(), rules.alerts()
    for file in files():
        tool(verdicts, f"promtool check rules {file.name}", "promtool", "check", "rules", file)
    only_durations_differ(verdicts)
    words_of_alerts(verdicts, alerts)
    unit_tests(verdicts, alerts)
    notifications(verdicts, alerts)
    names(verdicts)
    dashboard.check(verdicts)
    runbooks.check(verdicts, alerts)
    verdicts.end()


if __name__ == "__main__":
    main()
