"""That every decision is accounted for: the log's lines, and those it lost, are the metric's."""
from .client import eventually


def lines(proxy):
    """Log lines that count as a decision: each decision, and each end that is a second one."""
    return [r for r in proxy.log() if r.get("event") == "decision" or
            (r.get("event") == "close" and r.get("verdict") in ("deny", "error"))]


def assert_accounted(proxy):
    """Each verdict and reason as often in the log as in exeat_decisions_total, but for lines that were dropped."""
    def differences():
        if proxy.metric("exeat_log_lines_dropped_total"):
            return []
        records = lines(proxy)
        keys = {(r["verdict"], r["reason"]) for r in records}
        return [(key, told, counted) for key in sorted(keys)
                if (told := sum(1 for r in records if (r["verdict"], r["reason"]) == key)) !=
                (counted := proxy.metric("exeat_decisions_total", verdict=key[0], reason=key[1]))]
    assert eventually(lambda: not differences()), differences()
    dropped = proxy.metric("exeat_log_lines_dropped_total")
    assert eventually(lambda: len(lines(proxy)) + dropped >= proxy.metric("exeat_decisions_total"))
