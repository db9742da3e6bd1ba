"""The conformance table (tests/conformance) against the real binary; docs/conformance.md is what it says, in words."""
import dataclasses
import os
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance.notation import Onward, Relayed, RequestCase, ResponseCase  # noqa: E402
from conformance.page import page  # noqa: E402
from conformance.table import CASES  # noqa: E402
from harness.conformance import Judge, Stage, unsound, unsound_answer  # noqa: E402

ROOT = Path(os.environ.get("EXEAT_ROOT", Path(__file__).parents[2]))


@pytest.fixture(scope="module")
def stage():
    stage = Stage(CASES)
    stage.play()
    yield stage
    stage.proxy.remove()


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_case(stage, number):
    faults = Judge(stage, number).run()
    assert not faults, "\n".join([f"RFC {CASES[number].rfc}", *faults])


NASTY = ["\0", "\t", "\n", "\r", "\r\n", " ", "\x0b", "\x7f", "\x80", "\xff", ":", ";", ",", "0", "1", "a", "\r\n\r\n", "\n\n", "/", "@", "#", "%",
         "\\", "[", "]", "?", ".", "-", "+", "\r\n ", "\r\nContent-Length: 3\r\n", "\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n",
         "\r\nHost: evil.example\r\n", "\r\nConnection: host\r\n"]


def change(number, data):
    """One to three changes of an octet or a few, the same at each run."""
    rng = random.Random(number)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((0, 0, 1, 1, 2, 8)))
        data = data[:at] + rng.choice((rng.choice(NASTY).encode("latin-1"), b"", data[:at][-20:])) + data[end:]
    return data


def test_whatever_is_changed_the_origin_gets_sound_requests_that_were_let_through():
    """Three thousand requests nobody has thought of: the table's own, changed at random."""
    source = [case for case in CASES if isinstance(case, RequestCase) and len(case.send) < 5000
              and all(isinstance(outcome, Onward) for outcome in case.outcomes)]
    cases = [dataclasses.replace(source[n % len(source)], finish=True, cut=0) for n in range(3000)]
    stage = Stage(cases, change)
    stage.play()
    stage.proxy.remove()
    faults = {n: unsound(stage, n) for n in range(len(cases))}
    assert not {n: found for n, found in faults.items() if found}
    arrived = sum(len(visit.requests) for visits in stage.origin.visits.values() for visit in visits)
    assert arrived > 500, "hardly anything of it came through"


def test_whatever_is_changed_the_client_gets_sound_answers_to_its_own_requests():
    """The same for two thousand answers."""
    source = [case for case in CASES if isinstance(case, ResponseCase) and isinstance(case.outcome, Relayed) and not case.ends]
    cases = [dataclasses.replace(source[n % len(source)], after="fin", then=None) for n in range(2000)]
    stage = Stage(cases, change)
    stage.play()
    stage.proxy.remove()
    faults = {n: unsound_answer(stage, n) for n in range(len(cases))}
    assert not {n: found for n, found in faults.items() if found}
    assert sum(b"marker" in played.got for played in stage.played) > 1000


def test_no_name_was_looked_up_that_no_case_may_reach(stage):
    assert stage.foreign == set()


def test_every_decision_was_logged(stage):
    """One line of a decision for each answer of the proxy's own and each request that went on."""
    ids = [record for records in stage.log.values() for record in records if record["event"] == "decision"]
    assert len(ids) == len(stage.log), "a decision without its line, or with two"
    assert all(record["reason"] == "allowed" for record in ids if record["verdict"] == "allow")


def test_the_page_is_not_stale():
    assert (ROOT / "docs/conformance.md").read_text() == page(), "write it anew: python3 -m conformance.page > docs/conformance.md"
