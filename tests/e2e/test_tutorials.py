"""The tutorials of docs/tutorials are transcripts: every command is run here, every output compared."""
import os
from pathlib import Path

import pytest

from harness.proxy import BINARY, free_port
from harness.tutorial import matches, play, steps_of

TUTORIALS = sorted((Path(os.environ.get("EXEAT_ROOT", Path(__file__).parents[2])) / "docs" / "tutorials").glob("*.md"))


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_says_what_happens(page, tmp_path):
    assert any(not step.name and step.shown for step in steps_of(page.read_text()))
    play(page, tmp_path, BINARY, {"3129": str(free_port()), "9400": str(free_port())})


def test_there_is_one_for_each_user():
    assert {page.stem for page in TUTORIALS} == {"blocked-developer", "reviewing-a-change", "moving-from-squid"}


def test_what_is_shown_must_be_printed():
    assert matches(["a", "...", "z"], "a\nb\nc\nz\n") and matches(["a ... c"], "a b c\n") and matches([], "x\n")
    assert not matches(["a"], "a\nb\n") and not matches(["a", "..."], "b\n") and not matches(["a"], "")
