"""A real Prometheus and Alertmanager watch real routers while Kafka goes away and comes back, and a receiver of pushes.

Comes in: what installation.py asks for; `--picture FILE` draws what an SRE saw. Goes out: verdicts.
Proves: whatever follows from the outage fires and is held back, one page arrives, the root cause, and it
resolves; every panel of the dashboard has an answer; every command of the runbooks works.
All times of rules and notifications are a sixtieth of what they are in production.
"""

import argparse
import pathlib
import shutil
import sys
import time

import dashboard
import runbooks
from carriers import Carriers, text_body
from installation import Installation
from pager import Pager
from processes import STATE, Late, wait_until
from router import Verdicts

DIVIDE = 60
TEXTS_A_SECOND = 24
# While the journal is more than half full: it shall not be full before Kafka is back.
FEW_TEXTS_A_SECOND = 2
# Scrapes of a calm day before the outage: the rules' windows must have something normal in them.
CALM_SCRAPES = 20
CAUSE = "SmsRouterKafkaAway"
# What must follow from the outage, whether it speaks or not.
CONSEQUENCES = {"SmsRouterDepartmentAway", "SmsRouterProbeNotArchived", "SmsRouterJournalFilling"}
STOPPED = "SmsRouterDeliveryStopped"
GIVEN_UP = "SmsRouterDeliveryFailed"
DELIVERED = 'sms_router_deliveries_total{outcome="delivered",channel="%s"} > 10'
ARCHIVED = 'sum(sms_router_archive_records_total{outcome="stored"})'
WAITING = "sum(sms_router_journal_messages)"


def calm(site, texts, verdicts):
    """Traffic that touches everything, until all of it has been scraped and archived."""
    hurried = [texts.push(site.inbound[0], "hurried", f"hurried-{n}", text_body(f"hurried-{n}", "Snow")) for n in range(2)]
    verdicts.equal("an account beyond its rate is answered 503", hurried, [200, 503])
    wait_until("texts are archived", 60, lambda: site.value(ARCHIVED) > 100)
    wait_until("every kind of event was scraped", 60, lambda: all(site.query(metric) for metric in (
        "sms_router_dead_letters_total", "sms_router_signature_failures_total", "sms_router_duplicates_total > 0",
        'sms_router_joined_texts_total{outcome="complete"} > 0',
        'sms_router_probe_last_success_timestamp_seconds{stage="archived"} > 0',
        DELIVERED % "email", DELIVERED % "push", 'sms_router_deliveries_total{outcome="retried"} > 0')))
    wait_until("what nobody took became a ticket", 60, lambda: [GIVEN_UP] in site.pager.heard("tickets", "firing"), site.said)
    wait_until("there is a past to compare with", 60, lambda: site.value(f"min(count_over_time(up[1m])) >= {CALM_SCRAPES}"))
    paged = site.query('count_over_time(ALERTS{severity="page"}[15s])')
    verdicts.equal("no page was even considered on a calm day", paged, [])
    # Before its first scrape Prometheus knows of no instance, and says so.
    site.pager.forget()


def outage(site, texts, verdicts):
    """Kafka is killed: consequences fire and are held back, the cause is paged."""
    site.kafka.kill()
    wait_until("the root cause is paged", 60, lambda: [CAUSE] in site.pager.heard("on-call", "firing"), site.said)
    wait_until("the journal is half full", 90, lambda: "SmsRouterJournalFilling" in site.firing(), site.said)
    texts.set_rate(FEW_TEXTS_A_SECOND)
    wait_until(f"{', '.join(sorted(CONSEQUENCES))} fire", 60, lambda: CONSEQUENCES <= site.firing(), site.said)
    wait_until("Alertmanager has them", 20, lambda: CONSEQUENCES <= {labels["alertname"] for labels, _, _ in site.at_alertmanager()})
    alerts = site.at_alertmanager()
    cause = [fingerprint for labels, _, fingerprint in alerts if labels["alertname"] == CAUSE]
    verdicts.equal("the root cause is there once", len(cause), 1)
    for labels, inhibited_by, _ in alerts:
        if "kafka" in labels.get("depends_on", ""):
            verdicts.equal(f"{labels['alertname']} waits for {CAUSE}", inhibited_by, cause)
    verdicts.equal("texts are still answered 200", site.value('sum(increase(sms_router_webhook_requests_total{account="council",code="503"}[30s]))'), 0)
    verdicts.holds("texts wait in the journal", site.value(WAITING) > 0)


def recovery(site, texts, verdicts):
    """Kafka is back: the journal empties, the page resolves, nothing speaks afterwards. When it was back."""
    site.kafka.come_back()
    back_at = time.time()
    texts.set_rate(TEXTS_A_SECOND)
    wait_until("the journal is empty", 90, lambda: site.value(WAITING) == 0)
    wait_until("the page is resolved", 90, lambda: [CAUSE] in site.pager.heard("on-call", "resolved"), site.said)
    wait_until("what followed from it is over", 90, lambda: not site.firing() & (CONSEQUENCES | {CAUSE}))
    wait_until("Alertmanager has forgotten it", 30, lambda: not any(
        "kafka" in labels.get("depends_on", "") or labels["alertname"] == CAUSE for labels, _, _ in site.at_alertmanager()), site.said)
    verdicts.equal("exactly one page, the root cause", site.pager.heard("on-call", "firing"), [[CAUSE]])
    verdicts.equal("and its end", site.pager.heard("on-call", "resolved"), [[CAUSE]])
    held_back = [names for names in site.pager.heard("tickets", "firing") if set(names) & CONSEQUENCES]
    verdicts.equal("no consequence became a ticket", held_back, [])
    paged = [alert for alerts in site.pager.bodies for alert in alerts if alert["labels"]["alertname"] == CAUSE]
    verdicts.holds("the page names its runbook", paged[0]["annotations"]["runbook_url"].endswith("#" + CAUSE.lower()))
    wait_until("the archive has caught up", 60, lambda: site.value("max(sms_router_archive_lag_seconds)") < 5)
    return back_at


def receiver_gone(site, verdicts):
    """A receiver says that it is gone: somebody is paged, and starts the deliverer anew when it is mended."""
    site.receiver.status = 410
    wait_until("a delivery that has stopped is paged", 60, lambda: [STOPPED] in site.pager.heard("on-call", "firing"), site.said)
    site.receiver.status = 204
    taken = len(site.receiver.taken)
    verdicts.equal("the deliverer ends in good order", site.deliverer.stop(), 0)
    site.start_deliverer()
    wait_until("texts are pushed again", 60, lambda: len(site.receiver.taken) > taken, site.said)
    wait_until("and the end of it is heard", 60, lambda: [STOPPED] in site.pager.heard("on-call", "resolved"), site.said)


def story(verdicts, picture):
    began = time.time()
    with Pager() as pager, Installation(DIVIDE, pager) as site:
        with Carriers(site.inbound, TEXTS_A_SECOND) as texts:
            calm(site, texts, verdicts)
            away_at = time.time()
            outage(site, texts, verdicts)
            back_at = recovery(site, texts, verdicts)
            receiver_gone(site, verdicts)
            verdicts.equal("nothing but 200, 400, 403 and the one 503 was answered", set(texts.codes) - {200, 400, 403, 503}, set())
            verdicts.equal("one text was answered 503", texts.codes[503], 1)
            dashboard.ask_all(site, began, verdicts)
            runbooks.run_all(site, verdicts, stopped=False)
        if picture:
            import picture as drawing
            drawing.draw(site, began, away_at, back_at, picture)
        for name, router in site.routers.items():
            verdicts.equal(f"{name} ends in good order", router.stop(), 0)
        runbooks.run_all(site, verdicts, stopped=True)
        verdicts.equal("the archive consumer ends in good order", site.archiver.stop(), 0)
        verdicts.equal("the deliverer ends in good order", site.deliverer.stop(), 0)


def main():
    parser = argparse.ArgumentParser(description="Prometheus and Alertmanager watch routers that lose Kafka")
    parser.add_argument("--picture", type=pathlib.Path, metavar="FILE", help="draws what was seen (needs matplotlib)")
    arguments = parser.parse_args()
    shutil.rmtree(STATE, ignore_errors=True)
    STATE.mkdir(parents=True)
    verdicts = Verdicts()
    try:
        story(verdicts, arguments.picture and arguments.picture.resolve())
    except Late as error:
        verdicts.holds("the story came to its end", False, error)
    verdicts.end()


if __name__ == "__main__":
    sys.exit(main())
