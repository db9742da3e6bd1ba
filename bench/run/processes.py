"""What a tree of processes has cost, from /proc."""
import os
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def _stat(pid):
    """Fields of /proc/PID/stat from the third one on; None where it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text[text.rindex(")") + 2:].split()


def tree(root):
    """`root`, what descends from it, and what has only its session left of it."""
    parents, sessions = {}, {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(name)):
            parents[int(name)], sessions[int(name)] = int(fields[1]), int(fields[3])
    found, grown = {root} | {pid for pid, session in sessions.items() if session == root}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return [pid for pid in found if pid in parents]


def cpu_seconds(root):
    """User and system time of the whole tree, threads and reaped children that have ended among it."""
    total = 0
    for pid in tree(root):
        if fields := _stat(pid):
            total += sum(map(int, fields[11:15]))
    return total / TICK


def resident(root):
    """Octets of memory that the tree holds; pages that several share count once (PSS)."""
    total = 0
    for pid in tree(root):
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        except OSError:
            continue
    return total
