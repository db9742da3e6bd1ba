"""The chart: throughput and CPU against the bare relay, one group of bars for each mode. Written by hand, legible on
light and on dark."""
from xml.sax.saxutils import escape

GROUPS = ["connect", "tls", "bulk-down", "pingpong-64", "http-1k", "http-close", "deny"]
ORDER = ["exeat", "squid", "trafficserver", "haproxy", "apache2", "tinyproxy", "privoxy"]
SHADE = {"exeat": "exeat", "squid": "a", "trafficserver": "b", "haproxy": "c", "apache2": "d", "tinyproxy": "e", "privoxy": "f"}
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f; } .small { font-size: 10px; fill: #57606a; }
.title { font-weight: 600; font-size: 12px; } .line { stroke: #d0d7de; } .one { stroke: #57606a; stroke-dasharray: 3 3; }
.exeat { fill: #0969da; } .a { fill: #6e7781; } .b { fill: #8c959f; } .c { fill: #bf8700; } .d { fill: #a475f9; }
.e { fill: #2da44e; } .f { fill: #cf6b9d; } text.strong { font-weight: 700; fill: #0969da; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .small { fill: #9198a1; } .line { stroke: #3d444d; } .one { stroke: #9198a1; }
  .exeat { fill: #4493f8; } .a { fill: #848d97; } .b { fill: #b1bac4; } .c { fill: #d29922; } .d { fill: #ab7df8; }
  .e { fill: #3fb950; } .f { fill: #db61a2; } text.strong { fill: #4493f8; }
}"""
LABELS, WIDE, BAR, GAP, TOP = 160, 300, 11, 14, 66


def _panel(left, title, most, groups, measure):
    """One panel: bars from `left` on, the axis ending at `most`; what is longer is cut and says so."""
    out = [f'<text class="title" x="{left}" y="20">{escape(title)}</text>']
    ticks = [most * i / 4 for i in range(5)]
    bottom = TOP + sum(len(names) * BAR + GAP for _, names, _ in groups)
    for tick in ticks:
        x = left + WIDE * tick / most
        out.append(f'<line class="line" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{bottom}"/>')
        out.append(f'<text class="small" x="{x:.1f}" y="{TOP - 10}" text-anchor="middle">{tick:g}</text>')
    x = left + WIDE / most
    out.append(f'<line class="one" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{bottom}"/>')
    y = TOP
    for _, names, rows in groups:
        for name in names:
            ratio = rows[name]["to_relay"][measure] if name in rows else None
            if ratio is not None:
                length = WIDE * min(ratio, most) / most
                strong = ' strong' if name == "exeat" else ""
                out.append(f'<rect class="{SHADE[name]}" x="{left}" y="{y + 1}" width="{length:.1f}" height="{BAR - 2}"/>')
                beside = (f'x="{left + length + 4:.1f}"' if ratio <= most * 0.9 else f'x="{left + WIDE + 4}"')
                out.append(f'<text class="small{strong}" {beside} y="{y + BAR - 2}">{ratio:.2f}</text>')
            y += BAR
        y += GAP
    return out


def draw(summary):
    """The SVG; nothing where there is nothing to compare."""
    groups = []
    for mode in GROUPS:
        rows = summary["modes"].get(mode, {})
        names = [name for name in ORDER if name in rows]
        if "relay" in rows and names:
            groups.append((mode, names, rows))
    if not groups:
        return None
    height = TOP + sum(len(names) * BAR + GAP for _, names, _ in groups) + 12
    width = LABELS + 2 * WIDE + 120
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
           f'aria-label="Throughput and CPU per operation of proxies against a bare relay">',
           f"<style>{STYLE}</style>"]
    y = TOP
    for mode, names, _ in groups:
        out.append(f'<text class="title" x="4" y="{y + 10}">{escape(mode)}</text>')
        for i, name in enumerate(names):
            strong = "small strong" if name == "exeat" else "small"
            out.append(f'<text class="{strong}" x="{LABELS - 8}" y="{y + (i + 1) * BAR - 2}" text-anchor="end">{escape(name)}</text>')
        y += len(names) * BAR + GAP
    out += _panel(LABELS, "Throughput, bare relay = 1: more is better", 2, groups, "value")
    out += _panel(LABELS + WIDE + 60, "CPU per operation, bare relay = 1: less is better", 8, groups, "cpu")
    return "\n".join([*out, "</svg>", ""])
