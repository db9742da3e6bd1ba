"""`exeat bundles`: what `use:` brings in, for people and for programs."""
import json
import re
import shlex

import pytest

from harness.proxy import run_exeat


def test_the_list_names_every_bundle_once_and_in_order():
    done = run_exeat("bundles")
    assert done.returncode == 0 and not done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["BUNDLE", "HOSTS", "RISKS", "REVIEWED", "FOR"]
    names = [row.split()[0] for row in rows]
    assert names == sorted(set(names)) and {"node", "debian", "github", "bedrock-us-east-1", "cypress"} <= set(names)
    as_json = [json.loads(line) for line in run_exeat("bundles", "--format", "json").stdout.splitlines()]
    assert [one["name"] for one in as_json] == names
    assert [int(re.search(r"^\S+ +(\d+) ", row).group(1)) for row in rows] == [len(one["hosts"]) for one in as_json]
    markdown = run_exeat("bundles", "--format", "markdown").stdout
    assert all(f"| `{name}` |" in markdown for name in names)


def test_one_bundle_with_every_host_and_the_line_to_paste():
    for one in map(json.loads, run_exeat("bundles", "--format", "json").stdout.splitlines()):
        if one["name"].startswith("bedrock-") and one["name"] != "bedrock-eu-west-1":
            continue
        text = run_exeat("bundles", one["name"])
        assert text.returncode == 0 and f"- use: {one['name']}\n" in text.stdout
        risky = {"multi-tenant", "upload"} & set(one["risks"])
        assert ('accept_risk: "why"' in text.stdout) == bool(risky)
        markdown = run_exeat("bundles", one["name"], "--format", "markdown").stdout
        for host in one["hosts"]:
            assert re.search(rf"^  {re.escape(host['host'])}\b.*\n      \S", text.stdout, re.M), host
            assert f"`{host['host']}`" in markdown and host["reason"] in markdown
            for tag in host["risks"]:
                assert tag in markdown
        assert json.loads(run_exeat("bundles", one["name"], "--format", "json").stdout) == one


@pytest.mark.parametrize("name, nearest", [("nod", "node"), ("githb", "github"), ("chrome-for-testin", "chrome-for-testing")])
def test_an_unknown_name_is_refused_with_the_nearest(name, nearest):
    done = run_exeat("bundles", name)
    assert done.returncode == 2 and not done.stdout
    assert f"no bundle `{name}` (did you mean `{nearest}`?)" in done.stderr


def test_a_name_cannot_write_to_the_terminal():
    done = run_exeat("bundles", "x\x1b[31m")
    assert done.returncode == 2 and "\x1b" not in done.stderr and "\\x1b" in done.stderr
    assert run_exeat(*shlex.split("bundles --format yaml")).returncode == 2
