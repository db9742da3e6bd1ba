"""`exeat diff`: what a change of the policy opens and closes, as a reviewer and a required check read it."""
import copy
import json

import pytest

from harness.proxy import policy_of, run_exeat


@pytest.fixture
def write(tmp_path):
    """write(name, value or text): the path of a file that the tool will trust."""
    def make(name, content):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
        path.chmod(0o600)
        return path
    return make


@pytest.fixture
def diff(write):
    """diff(old, new, *flags): the finished process."""
    def run(old, new, *flags, **more):
        return run_exeat("diff", write("old.yaml", old), write("new.yaml", new), *flags, **more)
    return run


def objects(done):
    """The lines of --format json and, apart from them, the summary."""
    *lines, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert summary["change"] == "summary"
    return lines, summary


BASE = policy_of(agent=[{"host": "api.example"}, {"host": "*.blob.example", "max_names": 8}],
                 setup=[{"host": "**.mirror.example", "ports": [80, 443]}], deny=[{"host": "**.hook.example"}])


def changed(**by_phase):
    policy = copy.deepcopy(BASE)
    for phase, change in by_phase.items():
        if phase in policy["phases"]:
            change(policy["phases"][phase])
        else:
            policy[phase] = change(policy.get(phase))
    return policy


# What it says


def test_what_opens_what_closes_and_on_what_terms(diff):
    def agent(phase):
        phase["allow"] = [{"host": "api.example", "tls": "any"}, {"host": "**.blob.example"}]
    new = changed(agent=agent, setup=lambda phase: phase.update(allow=[{"host": "deb.mirror.example", "ports": [80]}]))
    done = diff(BASE, new)
    assert done.returncode == 1 and done.stdout.splitlines()[0] == "wider for an untrusted phase: agent", done.stdout
    text = done.stdout
    assert "phase agent (untrusted): wider\n" in text and "phase setup (trusted): narrower\n" in text
    assert "    **.blob.example, port 443 (https), except *.blob.example; by agent/**.blob.example:443 (" in text
    assert "    api.example, port 443 (https); tls: require -> any (wider); by agent/api.example:443 (" in text
    assert "max_names: 8 -> none (wider)" in text and text.index("becomes reachable") < text.index("on other terms")
    assert "**.mirror.example, ports 80,443 (https and http), except deb.mirror.example; it was by setup/" in text
    assert "deb.mirror.example, port 443 (https and http); it was by setup/**.mirror.example:80,443 (" in text

    lines, summary = objects(diff(BASE, new, "--format", "json"))
    assert summary["widened_untrusted"] == ["agent"] and not summary["same"]
    opened = [line for line in lines if line["change"] == "becomes_reachable"]
    assert [(line["host"], line["except"], line["https"], "http" in line) for line in opened] == [
        ("**.blob.example", ["*.blob.example"], "443", False)]
    assert opened[0]["rule"] == "agent/**.blob.example:443" and opened[0]["rule_at"].split(":")[0].endswith("new.yaml")
    terms = {line["host"]: {t["term"]: t["direction"] for t in line["terms"]} for line in lines if "terms" in line}
    assert terms == {"api.example": {"tls": "wider"}, "*.blob.example": {"max_names": "wider"}}


def test_the_other_way_round_is_no_widening(diff):
    done = diff(changed(agent=lambda phase: phase["allow"].append({"host": "new.example"})), BASE)
    assert done.returncode == 0 and done.stdout.startswith("no untrusted phase is widened\n"), done.stdout
    assert "stops being reachable" in done.stdout and "becomes" not in done.stdout


@pytest.mark.parametrize("change, said", [
    (dict(setup=lambda phase: phase["allow"].append({"host": "new.example"})), None),
    (dict(mcp=lambda phase: phase["allow"].append({"host": "new.example"})), "mcp"),
    (dict(deny=lambda deny: []), None),  # nothing that it refuses is allowed
    (dict(agent=lambda phase: phase.update(mode="audit")), "agent"),
    (dict(agent=lambda phase: phase.update(untrusted=False)), "agent"),
    (dict(agent=lambda phase: phase.update(hints="full")), None),
    (dict(agent=lambda phase: phase.update(ech="allow")), "agent"),
    (dict(agent=lambda phase: phase.update(upload_limit="1MiB")), None),
    (dict(addresses=lambda _: [{"cidr": "10.0.0.0/24", "hosts": ["api.example"]}]), "agent, mcp"),
])
def test_exit_status_tells_whether_an_untrusted_phase_is_widened(diff, change, said):
    done = diff(BASE, changed(**change))
    first = done.stdout.splitlines()[0]
    if said:
        assert done.returncode == 1 and first.startswith("wider for") and first.endswith(": " + said), done.stdout
    else:
        assert done.returncode == 0 and not first.startswith("wider"), done.stdout


# The same meaning


def test_another_order_and_other_words_say_nothing(diff):
    def agent(phase):
        phase["allow"] = [{**rule, "reason": "in other words", "owner": "somebody else"} for rule in phase["allow"][::-1]]
    done = diff(BASE, changed(agent=agent))
    assert done.returncode == 0 and done.stdout.splitlines() == [
        "nothing changes in what can be reached", "", "2 rules changed in reason, owner or ticket only"]
    assert diff(BASE, BASE, "--format", "markdown").stdout == "### exeat diff: nothing changes in what can be reached\n"


def test_splitting_into_included_files_says_nothing(diff, write):
    write("parts/more.yaml", {"version": 1, "phases": {"agent": {"allow": BASE["phases"]["agent"]["allow"]}},
                              "deny": BASE["deny"]})
    split = changed(agent=lambda phase: phase.update(allow=[]), deny=lambda _: [])
    split["include"] = ["parts/"]
    done = diff(BASE, split)
    assert done.returncode == 0 and done.stdout.startswith("nothing changes"), done.stdout + done.stderr
    # A line of an included file is named by its own place.
    write("parts/extra.yaml", {"version": 1, "phases": {"agent": {"allow": [{"host": "new.example"}]}}})
    done = diff(BASE, split)
    assert done.returncode == 1 and "extra.yaml:" in done.stdout, done.stdout


@pytest.mark.parametrize("name", ["rust", "debian"])
def test_a_bundle_and_its_very_rules_are_the_same(diff, name):
    bundle = json.loads(run_exeat("bundles", name, "--format", "json").stdout)
    rules = [{"host": host["host"], "ports": host["ports"], **({"apex": True} if host["apex"] else {})}
             for host in bundle["hosts"]]
    done = diff(policy_of(agent=[{"use": name}]), policy_of(agent=rules))
    # Whether 443 alone counts as written down is the loader's business, and shows in plain HTTP only.
    lines = [line for line in done.stdout.splitlines() if "; it was by " in line or "; by " in line]
    assert all("port 443 (http)" in line for line in lines), done.stdout
    done = diff(policy_of(agent=rules[1:]), policy_of(agent=[{"use": name}]), "--format", "json")
    opened = {line["host"] for line in objects(done)[0] if line["change"] == "becomes_reachable" and "https" in line}
    assert done.returncode == 1 and opened == {bundle["hosts"][0]["host"]}, done.stdout


# Markdown


HOSTILE = "`</details>**x** @everyone [a](http://b) <img src=x>|\u202e"


def test_no_markup_of_the_files_reaches_the_comment(diff, write):
    write(f"parts/a{HOSTILE.replace('/', '_')}.yaml", {"version": 1, "phases": {"agent": {"allow": [
        {"host": "new.example", "reason": HOSTILE},
        {"host": "web.example", "ports": [80], "paths": ["/`<b>|@everyone`/**"]}]}}})
    new = {**BASE, "include": ["parts/"]}
    new["phases"]["agent"]["allow"][0] = {"host": "api.example", "reason": HOSTILE, "owner": "<b>"}
    done = diff(BASE, new, "--format", "markdown")
    assert done.returncode == 1, done.stderr
    for line in done.stdout.splitlines():
        plain = "".join(line.split("`")[::2])  # outside of code spans
        assert line.count("`") % 2 == 0 and line.isascii(), line
        assert not any(sign in plain for sign in "<>@[]|"), line
        assert "everyone" not in plain and "reason" not in plain, line


def test_a_flood_stays_a_comment(diff):
    flood = [{"host": f"{'x' * 60}.{'y' * 60}.h{n}.example", "reason": "r"} for n in range(20000)]
    new = policy_of(agent=BASE["phases"]["agent"]["allow"], setup=flood, mcp=[{"host": "small.example"}])
    done = diff(BASE, new, "--format", "markdown")
    text = done.stdout
    assert done.returncode == 1 and len(text) < 62000
    head = text.splitlines()[:5]
    assert head[0].endswith("`mcp`") and "lines do not fit" in head[2], head
    # What is wider for an untrusted phase stands before the flood, which is folded.
    assert text.index("small.example") < text.index("<details><summary>becomes reachable: 20000 lines</summary>")
    assert text.count("<details>") == text.count("</details>") == 1


# --replay


def test_replay_of_what_the_proxy_logged(exeat, write):
    proxy = exeat(policy_of(agent=[{"host": "kept.example"}, {"host": "lost.example"}]))
    for authority in ("kept.example:443", "lost.example:443", "won.example:443", "won.example:443", "never.example:443"):
        with proxy.client("agent") as client:
            client.connect(authority)
    with proxy.client("agent") as client:
        client.get("http://won.example/path", host="won.example")
    proxy.logged(event="decision", method="GET")
    new = write("new.yaml", policy_of(agent=[{"host": "kept.example"}, {"host": "won.example"}]))
    done = run_exeat("diff", proxy.policy_file, new, "--replay", proxy.log_file)
    assert done.returncode == 1, done.stderr
    assert "replay: 3 of 6 recorded requests change" in done.stdout, done.stdout
    assert ("2 x CONNECT https://won.example:443 in agent: denied (no-rule) -> allowed (allowed); "
            "agent/won.example:443") in done.stdout
    assert "1 x CONNECT https://lost.example:443 in agent: allowed (allowed) -> denied (no-rule)" in done.stdout
    lines, summary = objects(run_exeat("diff", proxy.policy_file, new, "--replay", "-", "--format", "json",
                                       input=proxy.log_file.read_text()))
    assert summary["requests"] == 6 and summary["changed_requests"] == 3 and summary["malformed"] == 0
    assert [(one["url"], one["count"], one["new"]) for one in lines if one["change"] == "replayed"] == [
        ("https://won.example:443", 2, "allowed"), ("https://lost.example:443", 1, "denied")]
    # A log that an attacker has had his hands in.
    poisoned = write("poisoned.log", proxy.log_file.read_text() + "not json\n{}\n[[[[\n" + "x" * 100000 + "\n" + json.dumps(
        {"time": "2026-11-20T12:03:44.000123Z", "event": "decision", "decision": "0", "phase": "agent", "method": HOSTILE,
         "scheme": "http", "host": HOSTILE, "port": 80, "verdict": "deny", "reason": "no-rule"}) + "\n" + json.dumps(
        {"time": "2026-11-20T12:03:44.000123Z", "event": "decision", "decision": "0", "phase": HOSTILE, "method": HOSTILE,
         "scheme": "http", "host": "won.example", "port": 443, "verdict": "deny", "reason": "no-rule"}))
    done = run_exeat("diff", proxy.policy_file, new, "--replay", poisoned, "--format", "markdown")
    assert done.returncode == 1 and "everyone" not in done.stdout and done.stdout.isascii()
    assert "lines that are none of a decision log's: 5" in done.stdout, done.stdout
    assert "requests of phases that neither policy has: 1" in done.stdout


def test_replay_knows_addresses_and_paths(write):
    def line(**fields):
        return json.dumps({"time": "2026-11-20T12:03:44.000123Z", "event": "decision", "decision": "0", "phase": "agent",
                           "method": "CONNECT", "scheme": "https", "port": 443, "verdict": "allow", "reason": "allowed",
                           **fields})
    log = write("exeat.log", "\n".join([
        line(host="a.example", address="93.184.216.34"), line(host="a.example", address="93.184.217.34"),
        line(host="web.example", scheme="http", method="GET", port=80)]))
    old = write("old.yaml", policy_of(agent=[{"host": "a.example"}, {"host": "web.example", "ports": [80]}]))
    new = write("new.yaml", policy_of(agent=[{"host": "a.example"},
                                             {"host": "web.example", "ports": [80], "methods": ["GET"], "paths": ["/v1/**"]}],
                                      deny=[{"cidr": "93.184.217.0/24"}]))
    done = run_exeat("diff", old, new, "--replay", log)
    assert done.returncode == 0 and "replay: 2 of 3 recorded requests change" in done.stdout, done.stdout
    assert "1 x CONNECT https://a.example:443 in agent: allowed (allowed) -> denied (address-denied); deny/93" in done.stdout
    assert "allowed (allowed) -> depends on the path (path-not-allowed)" in done.stdout


# Errors


def test_errors_name_the_file_and_end_with_two(write, tmp_path):
    good = write("good.yaml", BASE)
    bad = write("bad.yaml", "version: 1\nphases: {agent: {alow: []}}\n")
    done = run_exeat("diff", good, bad)
    assert done.returncode == 2 and "bad.yaml:2:" in done.stderr and "did you mean `allow`" in done.stderr
    done = run_exeat("diff", tmp_path / "none.yaml", bad)
    assert done.returncode == 2 and "none.yaml" in done.stderr and "bad.yaml:2:" in done.stderr
    assert run_exeat("diff", good).returncode == 2
    assert run_exeat("diff", good, good, "--format", "xml").returncode == 2
    for log in (tmp_path / "none.log", tmp_path):
        done = run_exeat("diff", good, good, "--replay", log)
        assert done.returncode == 2 and done.stderr.startswith("exeat diff: cannot read"), done.stderr
    loose = write("loose.yaml", BASE)
    loose.chmod(0o666)
    assert run_exeat("diff", good, loose).returncode == 2
    assert run_exeat("diff", good, loose, "--insecure-policy-file").returncode == 0
