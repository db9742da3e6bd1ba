"""docs/conformance.md from the table: python3 -m conformance.page, in tests/."""
import re

from . import notation as n
from .table import CASES, GROUPS

HEAD = """# Conformance: what goes in, and what comes of it

<!-- Generated from tests/conformance by `python3 -m conformance.page` in tests/; a test fails when this page is stale. -->

{count} cases of raw octets. `tests/e2e/test_conformance.py` plays each against the real binary, with a connection, a name and an
address of its own, and judges it by the octets that a recording origin and the client really received, by the
dials and look-ups that took place, and by the log. The table is data: [tests/conformance](../tests/conformance).

- Octets are shown as in C: `\\r\\n`, `\\t`, `\\xNN`; `«x × 300»` is that text so many times. `ORIGIN` stands for
  `origin.corp.example:10080`, and both for the name and port that a case has of its own.
- `refused CODE STATUS`: the proxy's own answer, with that reason code in answer and log. The origin hears nothing of this request: where
  no other request of the case goes on, no name is looked up and nothing is dialled.
- `onward`: the origin received exactly this head. A body and trailers are shown without their framing.
- `broken off CODE`: the body turned out bad on its way up: the origin got a part of it and a reset, never its end.
- `502 CODE`: nothing of the origin's answer reached the client, and the origin's connection was reset.
- `relayed`: the client received exactly this head and body. `aborted CODE`: a part of it, and then a reset, never a clean end.
- `tunnel`: the origin received exactly the octets; the log has the server name, protocols and version offered. `cut CODE`: the tunnel
  ended behind the 200, with a TLS alert of that number where it spoke TLS, and the origin received no octet.
- `ends`: the client's connection ended, and what stood behind was never served. Otherwise a request that stood behind was.
- `kept`, `not kept`: whether the origin's connection was used for that next request.

| Section | Cases |
|---|---|
{sections}

By document, where a case stands under the section that it is about:

| Document | Sections | Cases |
|---|---|---|
{documents}
"""
NAMES = {"\r": "\\r", "\n": "\\n", "\t": "\\t", "\\": "\\\\"}


def visible(text):
    return "".join(NAMES.get(c) or (c if " " <= c <= "~" else f"\\x{ord(c):02x}") for c in text)


def shown(text):
    """For a cell: escapes, repetitions by their count, and no octet that Markdown would take for its own."""
    parts, at, text = [], 0, text.replace(n.ORIGIN, "ORIGIN")
    for found in re.finditer(r"(?s)(.{1,40}?)\1{11,}", text):
        parts += [visible(text[at:found.start()]), f"«{visible(found[1])} × {len(found[0]) // len(found[1])}»"]
        at = found.end()
    out = "".join(parts) + visible(text[at:])
    if len(out) > 900:
        out = out[:880] + f"… ({len(text)} octets)"
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", out)), default=0))
    pad = " " if len(ticks) > 1 else ""
    return f"{ticks}{pad}{out}{pad}{ticks}".replace("|", "\\|") if out else "nothing"


def parts(head, body, trailers=""):
    return shown(head) + (f" body {shown(body)}" if body else "") + (f" trailers {shown(trailers)}" if trailers else "")


def words(outcome):
    if isinstance(outcome, n.Refused):
        return f"refused {outcome.code} {outcome.status}" if outcome.status else f"{outcome.code}, nobody is left to be answered"
    if isinstance(outcome, n.Own):
        return f"answered {outcome.status} by the proxy, as the last recipient"
    if isinstance(outcome, n.Onward):
        return "onward " + parts(outcome.head, outcome.body, outcome.trailers)
    if isinstance(outcome, n.Broken):
        return f"broken off {outcome.code} {outcome.status if outcome.answered else ''}".strip()
    if isinstance(outcome, n.BadGateway):
        return f"502 {outcome.code}" + (f" behind {len(outcome.interim)} interim answers" if outcome.interim else "")
    if isinstance(outcome, n.Relayed):
        before = "".join(f"{shown(head)} then " for head in outcome.interim[:2])
        before = f"{len(outcome.interim)} × {shown(outcome.interim[0])} then " if len(outcome.interim) > 2 else before
        return f"relayed {before}{parts(outcome.head, outcome.body, outcome.trailers)}"
    if isinstance(outcome, n.Aborted):
        return f"aborted {outcome.code} after at most {parts(outcome.head, outcome.body)}"
    if isinstance(outcome, n.Cut):
        alert = f", alert {outcome.alert}" if outcome.alert is not None else ", an HTTP answer" if outcome.http else ""
        return f"cut {outcome.code}{alert}"
    facts = [f"{name} {shown(value)}" for name, value in (("SNI", outcome.sni), ("ALPN", outcome.alpn), ("TLS", outcome.version)) if value]
    return ", ".join(["tunnel", *facts])


def row(case):
    if isinstance(case, n.RequestCase):
        sent, outcome = case.send, "; ".join(map(words, case.outcomes))
        facts = [f"in pieces of {case.cut}" if case.cut else "", "then FIN" if case.finish else ""]
        ends = case.ends
    elif isinstance(case, n.ResponseCase):
        sent, outcome, ends = case.answer, words(case.outcome), case.ends
        line = case.request.split("\r\n")[0]
        facts = [f"to {shown(line)}" if not line.startswith("GET") or "HTTP/1.0" in line or "Upgrade" in case.request else "",
                 f"with the head at the client, {shown(case.then)}" if case.then else "",
                 {"fin": "then FIN", "rst": "then RST", "open": ""}[case.after]]
        outcome += {True: "; kept", False: "; not kept", None: ""}[case.kept]
    else:
        sent, outcome, ends = case.send.split("\r\n")[0] + "\r\n…", words(case.outcome), False
        facts = [f"inside {shown(case.inside)}", f"in records of {case.records}" if case.records else "", "early" if case.early else "",
                 f"in pieces of {case.cut}" if case.cut else "",
                 f"the origin speaks first: {shown(case.banner)}" if case.banner else "", "then FIN" if case.finish else ""]
    told = ", ".join([shown(sent), *(fact for fact in facts if fact)])
    return f"| {case.name} | {case.rfc} | {told} | {outcome}{'; ends' if ends else ''} |\n"


def page():
    documents = {}
    for case in CASES:
        document, _, section = case.rfc.partition(" ")
        documents.setdefault(document, []).append(section)
    sections = "\n".join(f"| {group.TITLE} | {len(group.CASES)} |" for group in GROUPS)
    table = "\n".join(f"| {'RFC ' if name.isdigit() else ''}{name} | {len(set(found))} | {len(found)} |"
                      for name, found in sorted(documents.items(), key=lambda item: -len(item[1])))
    out = HEAD.format(count=len(CASES), sections=sections, documents=table)
    for group in GROUPS:
        what = {n.RequestCase: "The client sends", n.ResponseCase: "The origin answers", n.TunnelCase: "The client sends"}
        out += f"\n## {group.TITLE}\n\n{group.__doc__.strip()}\n\n| Case | RFC | {what[type(group.CASES[0])]} | Outcome |\n|---|---|---|---|\n"
        out += "".join(map(row, group.CASES))
    return out


if __name__ == "__main__":
    print(page(), end="")
