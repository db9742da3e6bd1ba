"""`exeat token`: what it makes is random, what it prints of it is its SHA-256, and its line is one that loads."""
import hashlib
import json
import re

import pytest

from harness.proxy import run_exeat
from harness.schema import read_yaml


def test_a_fresh_token_with_its_line_for_exeat_yaml():
    done = run_exeat("token", "--phase", "setup")
    assert done.returncode == 0 and done.stderr == "", done
    token = re.search(r"^token:  (exeat_t_[A-Za-z0-9_-]{43})$", done.stdout, re.M).group(1)
    digest = hashlib.sha256(token.encode()).hexdigest()
    assert f"sha256: {digest}\n" in done.stdout
    line = re.search(r"^    (- \{.*\})$", done.stdout, re.M).group(1)
    assert read_yaml(line) == [{"sha256": digest, "phase": "setup"}]
    assert f"\n    http://setup:{token}@HOST:PORT\n" in done.stdout


def test_tokens_differ_and_are_of_the_phase_agent_by_default():
    made = [json.loads(run_exeat("token", "--format", "json").stdout) for _ in range(5)]
    assert len({one["token"] for one in made}) == 5
    for one in made:
        assert one["sha256"] == hashlib.sha256(one["token"].encode()).hexdigest()
        assert one["phase"] == "agent"
        assert read_yaml(one["yaml"]) == [{"sha256": one["sha256"], "phase": "agent"}]


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_hash_of_a_token_that_somebody_has(end, tmp_path):
    token = "exeat_t_made-elsewhere-and-kept: in a vault"
    digest = hashlib.sha256(token.encode()).hexdigest()
    (tmp_path / "token").write_bytes((token + end).encode())
    for done in (run_exeat("token", "--hash", "-", input=token + end), run_exeat("token", "--hash", tmp_path / "token")):
        assert done.returncode == 0 and done.stderr == "", done
        assert f"sha256: {digest}\n" in done.stdout
        assert token not in done.stdout
    done = run_exeat("token", "--hash", "-", "--format", "json", input=token + end)
    assert json.loads(done.stdout) == {"sha256": digest, "phase": "agent",
                                       "yaml": f'- {{sha256: "{digest}", phase: agent}}'}


def test_a_token_that_may_be_guessed_is_hashed_with_a_warning():
    done = run_exeat("token", "--hash", "-", input="hunter2\n")
    assert done.returncode == 0 and hashlib.sha256(b"hunter2").hexdigest() in done.stdout
    assert "may be guessed" in done.stderr and "hunter2" not in done.stderr


@pytest.mark.parametrize("arguments, text, said", [
    (["--hash", "-"], "", "no token to read"),
    (["--hash", "-"], "\n", "no token to read"),
    (["--hash", "-"], "first-line-of-several\nsecond", "more than one line"),
    (["--hash", "-"], "with\ttab", "control character"),
    (["--hash", "-"], "x" * 373, "too long"),
    (["--hash", "-"], "x" * 100_000, "too long"),
    (["--hash", "/nonexistent/token"], "", "No such file"),
    (["--hash", "/"], "", "Is a directory"),
    (["--phase", "Agent"], "", "--phase"),
    (["--phase", ""], "", "--phase"),
    (["--phase", "a\x1b[31m: {"], "", "--phase"),
    (["--format", "yaml"], "", "--format"),
])
def test_what_is_no_token_is_refused(arguments, text, said):
    done = run_exeat("token", *arguments, input=text)
    assert done.returncode == 2 and done.stdout == "" and said in done.stderr, done
    assert "\x1b" not in done.stderr and "xxx" not in done.stderr


def test_the_longest_token_that_fits_into_a_credential():
    done = run_exeat("token", "--hash", "-", input="x" * 372)
    assert done.returncode == 0, done
