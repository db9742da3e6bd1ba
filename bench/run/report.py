"""From samples to medians, ratios, and a page of Markdown."""
import statistics

from modes import BY_NAME, TIMED

# Of issue and page alike: what Exeat is to reach, the bare relay being 1. (what, mode, measure, aim, whether more is better)
AIMS = [
    ("connect, tunnels/s", "connect", "value", 0.85, True),
    ("connect, CPU per tunnel", "connect", "cpu", 1.35, False),
    ("tls, CPU per tunnel", "tls", "cpu", 1.25, False),
    ("hello, CPU per tunnel", "hello", "cpu", 1.5, False),
    ("bulk-down, Gbit/s", "bulk-down", "value", 0.95, True),
    ("bulk-down, CPU per GB", "bulk-down", "cpu", 1.10, False),
    ("bulk-up, Gbit/s", "bulk-up", "value", 0.95, True),
    ("bulk-up, CPU per GB", "bulk-up", "cpu", 1.10, False),
    ("pingpong, median", "pingpong", "value", 1.05, False),
    ("pingpong, CPU per round trip", "pingpong", "cpu", 1.15, False),
    ("pingpong-64, round trips/s", "pingpong-64", "value", 0.95, True),
    ("http-1k, requests/s", "http-1k", "value", 0.60, True),
    ("http-1k, CPU per request", "http-1k", "cpu", 2.0, False),
    ("http-64k, requests/s", "http-64k", "value", 0.80, True),
    ("http-close, requests/s", "http-close", "value", 1.4, True),
    ("deny, CPU per refusal", "deny", "cpu", 1.25, False),
    ("paced, 99th percentile", "paced", "value", 1.2, False),
]


def _spread(values):
    return {"median": statistics.median(values), "least": min(values), "most": max(values), "rounds": len(values)}


def _ratios(mine, others, key):
    """The median of the ratios of each round: what disturbs a round disturbs both."""
    theirs = {other["round"]: other.get(key) for other in others}
    ratios = [one[key] / theirs[one["round"]] for one in mine if one.get(key) and theirs.get(one["round"])]
    return statistics.median(ratios) if ratios else None


def summarise(result):
    """The result without its single samples: medians, spread, and ratios to the relay."""
    summary = {key: value for key, value in result.items() if key != "samples"}
    summary["modes"] = {}
    for mode, by_proxy in result["samples"].items():
        rows = summary["modes"][mode] = {}
        relay = by_proxy.get("relay", [])
        for name, samples in by_proxy.items():
            row = {"value": _spread([s["value"] for s in samples]), "unit": BY_NAME[mode].unit,
                   "errors": sum(sum(s["errors"].values()) for s in samples),
                   "redials": sum(s["redials"] for s in samples),
                   "operations": sum(s["operations_in_all"] for s in samples),
                   "to_relay": {"value": _ratios(samples, relay, "value"), "cpu": _ratios(samples, relay, "cpu_each")}}
            costs = [s["cpu_each"] for s in samples if s["cpu_each"] is not None]
            if costs:
                row["cpu_each"] = _spread(costs)
                row["resident"] = max(s["resident"] for s in samples)
            rows[name] = row
    if result["reload"]:
        summary["reload"] = _reload(result["reload"])
    return summary


def _reload(found):
    def medians(samples):
        return {key: statistics.median(s["latency_us"][key] for s in samples) for key in ("p50", "p90", "p99", "p999", "max")}
    if not found["still"] or not found["reloading"]:
        return None
    still, reloading = medians(found["still"]), medians(found["reloading"])
    return {"rules": found["rules"], "still": still, "reloading": reloading, "reloads": found["reloads"],
            "p99_ratio": statistics.median(b["latency_us"]["p99"] / a["latency_us"]["p99"]
                                           for a, b in zip(found["still"], found["reloading"])),
            "errors": sum(sum(s["errors"].values()) for s in found["still"] + found["reloading"])}


def _number(value):
    if value is None:
        return ""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def _with_spread(spread, scale=1.0):
    low, high = spread["least"] * scale, spread["most"] * scale
    return f"{_number(spread['median'] * scale)} ({_number(low)} to {_number(high)})"


def _aims(summary):
    rows = []
    for title, mode, measure, aim, more in AIMS:
        ratio = summary["modes"].get(mode, {}).get("exeat", {}).get("to_relay", {}).get(measure)
        if ratio is None:
            continue
        kept = ratio >= aim if more else ratio <= aim
        peers = {name: row["to_relay"][measure] for name, row in summary["modes"][mode].items()
                 if name not in ("exeat", "relay", "direct") and row["to_relay"][measure] is not None}
        best = (max if more else min)(peers, key=peers.get) if peers else None
        rows.append((title, f"{'at least' if more else 'at most'} {aim}", f"{ratio:.2f}", "yes" if kept else "**no**",
                     f"{peers[best]:.2f} {best}" if best else ""))
    if each := summary["idle"].get("exeat", {}).get("each"):
        peers = {name: row["each"] for name, row in summary["idle"].items() if name not in ("exeat", "relay") and row["each"]}
        best = min(peers, key=peers.get) if peers else None
        rows.append(("idle, octets per tunnel", "at most 1,024", _number(each), "yes" if each <= 1024 else "**no**",
                     f"{_number(peers[best])} {best}" if best else ""))
    if found := summary["reload"]:
        rows.append(("reload, 99th percentile against no reload", "at most 1.2", f"{found['p99_ratio']:.2f}",
                     "yes" if found["p99_ratio"] <= 1.2 else "**no**", ""))
    return rows


def markdown(summary):
    machine = summary["machine"]
    names = list(summary["versions"])
    out = ["# The bench", "", "<!-- Written by `make bench`. -->", "",
           f"{machine['processor']}, {machine['cores']} cores, Linux {machine['kernel']}; the proxy on "
           f"{machine['proxy_cores']} of them with two workers, load and origin on {machine['load_cores']} other. "
           f"{summary['seconds']:g} s for each measurement, rounds interleaved, {summary['minutes']} minutes in all. "
           f"Load average before: {machine['load_average']:.1f}.", ""]
    if summary["note"]:
        out += [f"**{summary['note']}**", ""]
    out += ["Exeat has a policy of 1,000 rules, log, metrics and sandbox on; the peers have two names in their "
            "allowlists and their access log on (bench/peers). `relay` neither reads nor decides nor logs: the limit. "
            "What each mode is, and what to make of the figures: [bench/README.md](../../bench/README.md).", ""]
    out += ["## Against the bare relay (= 1)", ""]
    out += _table(["what", "aim", "Exeat", "reached", "best peer"], _aims(summary))
    out += ["Ratios are medians over the ratios of each round.", "", "## Rates and times: median (least to most)", ""]
    modes = [mode for mode in TIMED if summary["modes"].get(mode.name)]
    out += _table(["mode", "unit", *names], [
        (f"`{mode.name}`: {mode.title}", mode.unit,
         *(_with_spread(rows[name]["value"]) if name in rows else "" for name in names))
        for mode in modes for rows in [summary["modes"][mode.name]]])
    out += ["## CPU of the proxy's whole process tree: microseconds per operation, seconds per GB for bulk", ""]
    timed = [name for name in names if name != "direct"]
    out += _table(["mode", *timed], [
        (f"`{mode.name}`", *(_with_spread(rows[name]["cpu_each"], 1 if mode.per_gigabyte else 1e6)
                             if name in rows else "" for name in timed))
        for mode in modes for rows in [summary["modes"][mode.name]]])
    out += ["## Memory (PSS of the tree)", ""]
    out += _table(["", *timed], [
        ("MiB after the start", *(_number(summary["at_rest"].get(name, 0) / 2**20) for name in timed)),
        ("MiB at most", *(_number(max((rows[name]["resident"] for rows in summary["modes"].values() if name in rows),
                                      default=0) / 2**20) for name in timed)),
        ("idle tunnels held", *(str(summary["idle"][name]["tunnels"]) if name in summary["idle"] else "" for name in timed)),
        ("alive afterwards", *(str(summary["idle"][name]["alive"]) if name in summary["idle"] else "" for name in timed)),
        ("octets per idle tunnel", *(_number(summary["idle"].get(name, {}).get("each")) for name in timed))])
    if found := summary["reload"]:
        out += [f"## A policy of {found['rules']:,} rules swapped each second", "",
                "1,000 new tunnels a second, latency in microseconds.", ""]
        keys = ("p50", "p90", "p99", "p999", "max")
        out += _table(["", *keys], [(name, *(_number(found[kind][key]) for key in keys))
                                    for name, kind in (("no reload", "still"), ("a reload each second", "reloading"))])
        out += ["Counted by Exeat: " + ", ".join(f"`{name}` {count:.0f}" for name, count in found["reloads"].items()) + ".", ""]
    wrong = [f"{mode} {name}: {row['errors']}" for mode, rows in summary["modes"].items() for name, row in rows.items()
             if row["errors"]]
    redials = [f"{mode} {name}" for mode, rows in summary["modes"].items() for name, row in rows.items() if row["redials"]]
    out += ["Failed operations: " + (", ".join(wrong) or "none") + "."]
    if redials:
        out += ["Connections not kept alive by the proxy: " + ", ".join(redials) + "."]
    if summary["absent"]:
        out += ["Not measured: " + "; ".join(f"{name} ({why.splitlines()[0]})" for name, why in summary["absent"].items()) + "."]
    out += ["", "Versions: " + "; ".join(f"{name} {version}" for name, version in summary["versions"].items() if version) + ".", ""]
    return "\n".join(out)
