"""The conformance table (tests/conformance) against the real binary; docs/conformance.md is what it says, in words."""
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance.page import page  # noqa: E402
from conformance.table import CASES  # noqa: E402
from harness.conformance import Judge, Stage  # noqa: E402

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


def test_no_name_was_looked_up_that_no_case_may_reach(stage):
    assert stage.foreign == set()


def test_every_decision_was_logged(stage):
    """One line of a decision for each answer of the proxy's own and each request that went on."""
    ids = [record for records in stage.log.values() for record in records if record["event"] == "decision"]
    assert len(ids) == len(stage.log), "a decision without its line, or with two"
    assert all(record["reason"] == "allowed" for record in ids if record["verdict"] == "allow")


def test_the_page_is_not_stale():
    assert (ROOT / "docs/conformance.md").read_text() == page(), "write it anew: python3 -m conformance.page > docs/conformance.md"
