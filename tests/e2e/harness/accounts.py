"""That every decision is accounted for: the log's lines, and those it lost, are the metric's."""
import re
from collections import Counter

from .client import eventually


def lines(proxy):
    """Log lines that count as a decision: each decision, and each end that is a second one."""
    return [r for r in proxy.log() if r.get("event") == "decision" or
            (r.get("event") == "close" and r.get("verdict") in ("deny", "error"))]


def told(proxy):
    """How often each (phase, verdict, reason) stands in the log."""
    return Counter((r.get("phase", "(none)"), r["verdict"], r["reason"]) for r in lines(proxy))


def counted(proxy):
    """How often each (phase, verdict, reason) was counted."""
    out = Counter()
    for line in proxy.metrics().splitlines():
        if match := re.fullmatch(r"exeat_decisions_total\{(.*)\} (\S+)", line):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', match[1]))
            out[labels["phase"], labels["verdict"], labels["reason"]] += int(float(match[2]))
    return +out


def differences(proxy):
    """What the log tells another number of than the metric, while lines were not dropped; by key, (told, counted)."""
    in_log, in_metric = told(proxy), counted(proxy)
    return {key: (in_log[key], in_metric[key]) for key in in_log.keys() | in_metric.keys() if in_log[key] != in_metric[key]}


def assert_accounted(proxy):
    """Each phase, verdict and reason as often in the log as in exeat_decisions_total, and the other way round; no more
    are missing than were dropped."""
    def agree():
        unlike = differences(proxy)
        missing = sum(metric - log for log, metric in unlike.values())
        lost = sum(proxy.metric("exeat_log_lines_dropped_total", sink=sink) for sink in ("ring", "file")) if unlike else 0
        return all(log <= metric for log, metric in unlike.values()) and missing <= lost
    assert eventually(agree), differences(proxy)
