"""What an SRE sees of an outage: a picture of the dashboard's queries against the live test's Prometheus.

Comes in: a running installation and the moments Kafka went and came back. Goes out: an SVG file.
Always true: each curve is a query of the dashboard or a series of the rules, nothing is made up.
"""

import time

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

import dashboard

INK, GRID, AWAY, FIRING, WAITING = "#24292f", "#e5e7eb", "#fde8e8", "#c81e1e", "#f0a3a3"
COLOURS = ["#1c64f2", "#0e9f6e", "#d97706", "#7e3af2", "#6b7280", "#e02424"]
# Panel's title of the dashboard, unit, and whether a logarithm shows more.
PANELS = [
    ("The same over time", "texts a second", False),
    ("Texts in the journal", "texts", False),
    ("Synthetic texts: post to stage", "seconds", True),
    ("Takes texts", "topics", False),
]
TITLES = {"The same over time": "Traffic", "Takes texts": "Topics that take texts"}
# Longer windows would blur a minute.
RATE_INTERVAL = "4s"
BEFORE_S = 15
MADE = "Queries of k8s/monitoring/dashboard.json, and ALERTS, as the Prometheus of tests/monitoring/live.py answered them; \
drawn by its --picture. Few texts are sent once the journal is half full."
STYLE = {"font.size": 8.5, "font.family": "sans-serif", "svg.fonttype": "none", "svg.hashsalt": "sms-router",
         "axes.edgecolor": "#9ca3af", "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK}


def legend(template, labels):
    for name, value in labels.items():
        template = template.replace("{{" + name + "}}", value)
    return template


def curves(site, title, since, until):
    """(label, [(time, value)…]) of every query of a panel; where there is no number the curve is broken."""
    panel = next(each for each in dashboard.panels() if each["title"] == title)
    for target in panel["targets"]:
        for labels, points in site.query_range(dashboard.filled(target["expr"], rate_interval=RATE_INTERVAL), since, until):
            yield legend(target["legendFormat"], labels), points


def draw_panel(axes, site, title, unit, logarithmic, since, until):
    found = list(curves(site, title, since, until))
    if title == "Takes texts":
        moments = sorted({at for _, points in found for at, _ in points})
        taking = [(at, sum(dict(points).get(at, 0) for _, points in found)) for at in moments]
        found = [("topics", taking)]
    for colour, (label, points) in zip(COLOURS * 3, found):
        axes.plot([at - since for at, _ in points], [value for _, value in points], label=label, color=colour, linewidth=1.4)
    axes.set_title(TITLES.get(title, title), loc="left", fontsize=9.5, fontweight="bold")
    axes.set_ylabel(unit)
    if logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.grid(color=GRID, linewidth=0.6)
    axes.legend(loc="upper left", bbox_to_anchor=(1.005, 1.03), frameon=False, fontsize=8, handlelength=1.2)


def draw_alerts(axes, site, since, until):
    """A bar for each alert while it fires: full where it speaks, pale where another one speaks for it."""
    question = 'max by (alertname, severity, depends_on) (ALERTS{alertname=~"SmsRouter.*", alertstate="firing"})'
    series = [(labels, points) for labels, points in site.query_range(question, since, until) if points]
    series.sort(key=lambda each: (each[1][0][0], each[0]["alertname"]), reverse=True)
    for row, (labels, points) in enumerate(series):
        held_back = "kafka" in labels.get("depends_on", "")
        moments = [round(at - since) for at, _ in points]
        begins = [at for at in moments if at - 1 not in moments]
        ends = [at + 1 for at in moments if at + 1 not in moments]
        spans = [(begin, end - begin) for begin, end in zip(begins, ends)]
        axes.broken_barh(spans, (row - 0.3, 0.6), color=WAITING if held_back else FIRING, linewidth=0)
    axes.set_yticks(range(len(series)))
    axes.set_yticklabels([f"{labels['alertname'].removeprefix('SmsRouter')} ({labels['severity']})" for labels, _ in series])
    axes.set_title("Alerts", loc="left", fontsize=9.5, fontweight="bold")
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    marks = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in (FIRING, WAITING)]
    axes.legend(marks, ["notifies", "held back"], loc="upper left", bbox_to_anchor=(1.005, 1.03), frameon=False, fontsize=8)


def draw(site, began, away_at, back_at, file):
    since, until = max(began, away_at - BEFORE_S), time.time()
    with plt.rc_context(STYLE):
        figure, rows = plt.subplots(len(PANELS) + 1, 1, figsize=(9.6, 10), sharex=True, layout="constrained")
        for axes, (title, unit, logarithmic) in zip(rows, PANELS):
            draw_panel(axes, site, title, unit, logarithmic, since, until)
        draw_alerts(rows[-1], site, since, until)
        for axes in rows:
            axes.axvspan(away_at - since, back_at - since, color=AWAY, zorder=0, linewidth=0)
            axes.spines[["top", "right"]].set_visible(False)
        rows[0].text(away_at - since + 0.5, 0.96, "Kafka is away", transform=rows[0].get_xaxis_transform(), va="top", color=FIRING)
        rows[-1].set_xlim(0, until - since)
        rows[-1].set_xlabel("seconds (all times of rules and notifications are a sixtieth of production's)")
        figure.savefig(file, format="svg", metadata={"Date": None, "Description": MADE})
