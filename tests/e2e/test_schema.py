"""The JSON Schemas against the loader: every example holds, what the loader accepts the schema accepts, and what the
loader refuses for its shape the schema refuses. Every policy that another test starts a proxy with is checked as well
(harness/proxy.py)."""
import json
import os
import random
import re

import pytest

from harness.proxy import run_exeat
from harness.schema import ROOT, faults, read_yaml, validator

ROUNDS = 80 if os.environ.get("EXEAT_SANITIZED") == "1" else 300
NAMES = ("policy", "policy-include", "exeat")


def loads(kind, text, folder):
    """Whether the loader takes a file of a kind."""
    base = folder / "policy.yaml"
    base.write_text(text if kind == "policy" else "version: 1\nphases: {agent: {}, setup: {}}\ninclude: more.yaml\n")
    if kind == "policy-include":
        (folder / "more.yaml").write_text(text)
    if kind == "exeat":
        (folder / "exeat.yaml").write_text(text)
        done = run_exeat("check", "--config", folder / "exeat.yaml", "https://x.example/")
    else:
        done = run_exeat("lint", "--policy", base, "--fail-on", "never")
    return done.returncode != 2, done.stderr


# Examples


def examples():
    """(where, kind, text) of every YAML file and block in the repository that is whole: it says `version`."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for number, text in enumerate(re.findall(r"^```yaml\n(.*?)^```", path.read_text(), re.M | re.S)):
            yield f"{path.relative_to(ROOT)}#{number}", text
    for folder in ("docker", "docs"):
        for path in sorted((ROOT / folder).rglob("*.yaml")):
            yield str(path.relative_to(ROOT)), path.read_text()
    yield "builtin-policy", run_exeat("docs", "builtin-policy").stdout


def whole_examples():
    for where, text in examples():
        value = read_yaml(text)
        if not isinstance(value, dict) or "version" not in value:
            continue
        if set(value) & {"listeners", "policy", "timeouts", "admin", "log", "dns", "limits"}:
            yield where, "exeat", text
        else:
            yield where, "policy" if "phases" in value or "include" in value else "policy-include", text


def test_every_example_holds():
    found = [(where, kind, faults(kind, text)) for where, kind, text in whole_examples()]
    assert [one for one in found if one[2]] == []
    assert len([one for one in found if one[1] == "policy"]) >= 4 and len([one for one in found if one[1] == "exeat"]) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_a_schema(name):
    assert validator(name).schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


# What the loader refuses for its shape

POLICY = "{version: 1, phases: {agent: {allow: [%s]}}}"
REFUSED = {
    "policy": [
        "[]", "{}", "text", "{phases: {agent: {}}}", "{version: 2, phases: {agent: {}}}", "{version: 1}",
        "{version: 1, phases: {}}", "{version: 1, phases: []}", "{version: 1, phases: {Agent: {}}}",
        "{version: 1, phases: {agent: []}}", "{version: 1, phases: {agent: }}", "{version: 1, phases: {agent: {}}, phase: {}}",
        "{version: 1, phases: {agent: {alow: []}}}", "{version: 1, phases: {agent: {allow: {}}}}",
        "{version: 1, phases: {agent: {allow: }}}", "{version: 1, phases: {agent: {mode: off}}}",
        "{version: 1, phases: {agent: {untrusted: no}}}", "{version: 1, phases: {agent: {untrusted: 'true'}}}",
        "{version: 1, phases: {agent: {hints: all}}}", "{version: 1, phases: {agent: {ech: require}}}",
        "{version: 1, phases: {agent: {upload_limit: 10 MB}}}", "{version: 1, phases: {agent: {upload_limit: 0}}}",
        "{version: 1, phases: {agent: {final: 1}}}", "{version: 1, phases: {agent: {}}, allow: []}",
        "{version: 1, phases: {agent: {}}, deny: {}}", "{version: 1, phases: {agent: {}}, deny: [x.example]}",
        "{version: 1, phases: {agent: {}}, deny: [{host: x.example, tls: any}]}",
        "{version: 1, phases: {agent: {}}, deny: [{host: x.example, expires: 2030-01-01}]}",
        "{version: 1, phases: {agent: {}}, deny: [{use: node}]}", "{version: 1, phases: {agent: {}}, deny: [{}]}",
        "{version: 1, phases: {agent: {}}, addresses: [{cidr: 10.0.0.0/8}]}",
        "{version: 1, phases: {agent: {}}, addresses: [{cidr: 10.0.0.0/8, literal: false}]}",
        "{version: 1, phases: {agent: {}}, addresses: [{hosts: [x.example]}]}",
        "{version: 1, phases: {agent: {}}, addresses: [{cidr: 10.0.0.0/8, hosts: x.example}]}",
        "{version: 1, phases: {agent: {}}, addresses: [{cidr: 10.0.0.0/8, hosts: []}]}",
        "{version: 1, phases: {agent: {}}, tests: [{phase: agent, url: 'https://x.example/'}]}",
        "{version: 1, phases: {agent: {}}, tests: [{phase: agent, expect: deny}]}",
        "{version: 1, phases: {agent: {}}, tests: [{url: 'https://x.example/', expect: deny}]}",
        "{version: 1, phases: {agent: {}}, tests: [{phase: agent, url: 'https://x.example/', expect: refuse}]}",
        "{version: 1, phases: {agent: {}}, tests: [{phase: agent, url: 'https://x.example/', expect: deny, reason: no-such}]}",
        "{version: 1, phases: {agent: {}}, tests: [{phase: agent, url: 'https://x.example/', expect: deny, why: x}]}",
        "{version: 1, phases: {agent: {}}, include: {}}", "{version: 1, phases: {agent: {}}, include: [[x.yaml]]}",
        *(POLICY % rule for rule in (
            "x.example", "{}", "{ports: 443}", "{host: x.example, cidr: 10.0.0.0/8}", "{host: x.example, use: node}",
            "{host: [x.example]}", "{host: }", "{host: ''}", "{host: 443}", "{host: a b}", "{host: 'x.example:443'}",
            "{host: 'https://x.example/'}", "{host: 192.0.2.1}", "{host: '*'}", "{host: 'a.*.example'}",
            "{host: 'a*.example'}", "{host: x.example, port: 443}", "{host: x.example, ports: []}",
            "{host: x.example, ports: 0}", "{host: x.example, ports: 65536}", "{host: x.example, ports: https}",
            "{host: x.example, ports: {from: 1}}", "{host: x.example, ports: [any]}", "{host: x.example, ports: 1-}",
            "{host: x.example, ports: 443.5}", "{host: x.example, tls: off}", "{host: x.example, tls: true}",
            "{host: x.example, ech: maybe}", "{host: x.example, apex: true}", "{host: x.example, max_names: 5}",
            "{host: '*.x.example', max_names: 0}",
            "{host: x.example, max_name_entropy: 64}", "{host: '*.x.example', max_name_entropy: 3}",
            "{host: '*.x.example', max_name_entropy: 1339}", "{host: '*.x.example', max_names: many}", "{host: '*.x.example', apex: yes}",
            "{cidr: 192.0.2.0/24, apex: true}", "{cidr: 192.0.2.0/24, resolve_in: 192.0.2.0/24}",
            "{cidr: 192.0.2.0/24, max_names: 5}", "{cidr: 192.0.2.0/a}", "{cidr: x.example}", "{cidr: }", "{cidr: [192.0.2.1]}",
            "{host: x.example, resolve_in: []}", "{host: x.example, resolve_in: x.example}",
            "{host: x.example, methods: GET}", "{host: x.example, ports: 443, methods: GET}",
            "{host: x.example, ports: [80, 443], paths: /}", "{host: x.example, ports: any, paths: /}",
            "{host: x.example, ports: 80, methods: get}", "{host: x.example, ports: 80, methods: []}",
            "{host: x.example, ports: 80, methods: CONNECT}", "{host: x.example, ports: 80, paths: a}",
            "{host: x.example, ports: 80, paths: /ä}", "{host: x.example, ports: 80, paths: []}",
            "{host: x.example, ports: 80, paths: /, tls: any}", "{host: x.example, ports: 80, methods: GET, ech: allow}",
            "{host: x.example, inspect: true}", "{host: x.example, final: true}", "{host: x.example, upload_limit: 1M}",
            "{host: x.example, upload_limit: -1}", "{host: x.example, download_limit: {}}", "{host: x.example, expires: soon}",
            "{host: x.example, expires: 2030-13-01}", "{host: x.example, expires: 20300101}", "{host: x.example, reason: }",
            "{host: x.example, reason: ''}", "{host: x.example, reason: [a]}", "{host: x.example, owner: {a: b}}",
            '{host: x.example, reason: "two\\nlines"}', "{host: x.example, reason: %s}" % ("r" * 1001),
            "{use: no-such-bundle}", "{use: [node]}", "{use: }", "{use: node, ports: 443}", "{use: node, apex: true}",
            "{use: node, tls: any}", "{use: node, max_names: 5}", "{use: node, max_name_entropy: 64}", "{use: node, final: true}",
        )),
    ],
    "policy-include": [
        "{}", "[]", "{version: 2}", "{version: 1, phases: {agent: {mode: audit}}}",
        "{version: 1, phases: {agent: {untrusted: false}}}", "{version: 1, phases: {agent: {hints: full}}}",
        "{version: 1, phases: {agent: {ech: allow}}}", "{version: 1, phases: {agent: {final: true}}}",
        "{version: 1, phases: {agent: {upload_limit: 1MiB}}}", "{version: 1, upload_limit: 1MiB}", "{version: 1, include: x.yaml}",
        "{version: 1, addresses: []}", "{version: 1, phases: {agent: {allow: [{host: x.example, tls: any}]}}}",
        "{version: 1, phases: {agent: {allow: [{host: x.example, ech: allow}]}}}",
        "{version: 1, deny: [{host: x.example, final: true}]}", "{version: 1, deny: [{host: x.example, final: false}]}",
        "{version: 1, phases: {agent: {allow: [{hots: x.example}]}}}", "{version: 1, tests: {}}",
    ],
    "exeat": [
        "[]", "{}", "{version: 2}", "{version: 1, lsteners: []}", "{version: 1, listeners: []}", "{version: 1, listeners: {}}",
        "{version: 1, listeners: ['127.0.0.1:1']}", "{version: 1, listeners: [{address: '127.0.0.1:1'}]}",
        "{version: 1, listeners: [{phase: agent}]}", "{version: 1, listeners: [{address: localhost:1, phase: agent}]}",
        "{version: 1, listeners: [{address: 'unix:x', phase: agent}]}", "{version: 1, listeners: [{address: 127.0.0.1, phase: agent}]}",
        "{version: 1, listeners: [{address: '127.0.0.1:1', unix: x, phase: agent}]}",
        "{version: 1, listeners: [{address: '127.0.0.1:1', mode: '0600', phase: agent}]}",
        "{version: 1, listeners: [{unix: x, mode: rw, phase: agent}]}", "{version: 1, listeners: [{unix: x, mode: '0800', phase: agent}]}",
        "{version: 1, listeners: [{address: '127.0.0.1:1', phase: agent, tls: a.pem}]}",
        "{version: 1, listeners: [{address: '127.0.0.1:1', phase: agent, tls: {certificate: a}}]}",
        "{version: 1, listeners: [{address: '127.0.0.1:1', phase: agent, tls: {key: a}}]}",
        "{version: 1, listeners: [{address: '127.0.0.1:1', phase: agent, tls: {certificate: a, key: b, crl: c}}]}",
        "{version: 1, listeners: [{unix: x, phase: agent, tls: {certificate: a, key: b}}]}",
        "{version: 1, listeners: [{unix: x, phase: [agent]}]}",
        *("{version: 1, listeners: [{address: '127.0.0.1:1', phase: agent, identity: %s}]}" % identity for identity in (
            "listener", "[]", "{}", "[listner]", "[{}]", "[{listener: true}]", "[listener, {peers: [{uid: 1}]}]", "[listener, {peer: []}]",
            "[listener, {peer: {uid: 1}}]", "[listener, {peer: [{}]}]", "[listener, {peer: [{uid: -1}]}]", "[listener, {peer: [{uid: 4294967295}]}]",
            "[listener, {peer: [{uid: root}]}]", "[listener, {peer: [{uid: 1, user: root}]}]", "[listener, {peer: [{cgroup: x}]}]",
            "[listener, {peer: [{uid: 1, gid: 1}]}]", "[listener, {peer: [{uid: 1, phase: [agent]}]}]",
            "[listener, {peer: [{uid: 1}], allow_own_uid: maybe}]", "[listener, {source: [{cidr: 127.0.0.1}], allow_own_uid: true}]",
            "[listener, {peer: [{uid: 1}], source: [{cidr: 127.0.0.1}]}]", "[listener, {source: [{}]}]", "[listener, {source: [{cidr: x}]}]",
            "[listener, {source: 127.0.0.1}]", "[listener, {proxy_protocol: []}]", "[listener, {proxy_protocol: 127.0.0.1}]",
            "[listener, {credential: {}}]", "[listener, {credential: {jobs: false}}]", "[listener, {credential: {tokens: []}}]",
            "[listener, {credential: {tokens: [{}]}}]", "[listener, {credential: {tokens: [{sha256: abc}]}}]",
            "[listener, {credential: {tokens: [{sha256: '%s'}]}}]" % ("0" * 65), "[listener, {credential: [{sha256: '%s'}]}]" % ("0" * 64),
            "[listener, {mtls: []}]", "[listener, {mtls: [{}]}]", "[listener, {mtls: [{san_uri: a, san_dns: b}]}]", "[listener, {mtls: [{san_ip: a}]}]",
            "[listener, {any_of: []}]", "[listener, {any_of: [listener]}]", "[listener, {any_of: [{proxy_protocol: [127.0.0.1]}]}]",
            "[listener, {any_of: [{any_of: [{peer: [{uid: 1}]}]}]}]", "[listener, {any_of: {peer: [{uid: 1}]}}]")),
        "{version: 1, admin: off}", "{version: 1, admin: []}",
        "{version: 1, admin: {address: '127.0.0.1:1', unix: x}}", "{version: 1, admin: {adress: '127.0.0.1:1'}}",
        "{version: 1, admin: {address: '127.0.0.1:1', allowed_hosts: x.example}}",
        "{version: 1, admin: {address: '127.0.0.1:1', allowed_hosts: ['*.x.example']}}",
        "{version: 1, control: {}}", "{version: 1, control: {address: '127.0.0.1:1'}}", "{version: 1, control: {unix: }}",
        "{version: 1, log: x}", "{version: 1, log: }", "{version: 1, log: {fil: x}}", "{version: 1, log: {format: xml}}",
        "{version: 1, log: {syslog: yes}}", "{version: 1, log: {rotate_size: 1 GiB}}", "{version: 1, log: {rotate_size: 1}}", "{version: 1, log: {rotate_size: 65535}}",
        "{version: 1, log: {rotate_keep: -1}}", "{version: 1, log: {rotate_keep: 1001}}", "{version: 1, log: {rotate_keep: 1.5}}",
        "{version: 1, dns: {resolver: dig}}", "{version: 1, dns: {servers: []}}", "{version: 1, dns: {servers: 127.0.0.1}}",
        "{version: 1, dns: {servers: [x.example]}}", "{version: 1, dns: {servers: [%s]}}" % ", ".join(["192.0.2.1"] * 9),
        "{version: 1, dns: {timeout: 5}}", "{version: 1, dns: {timeout: 5 s}}", "{version: 1, dns: {timeout: 0}}",
        "{version: 1, dns: {min_ttl: 5}}", "{version: 1, dns: {min_ttl: [5s]}}", "{version: 1, workers: two}",
        "{version: 1, workers: 257}", "{version: 1, limits: {connections: 0}}", "{version: 1, limits: {head_bytes: 1023}}",
        "{version: 1, timeouts: {head: 10}}", "{version: 1, timeouts: 10s}", "{version: 1, timeouts.head: 10s}",
        "{version: 1, watch: 1}", "{version: 1, on_tighten: kill}", "{version: 1, via: 'a b'}", "{version: 1, via: ''}",
        "{version: 1, policy: }", "{version: 1, policy: [policy.yaml]}", "{version: 1, policy: ''}",
        "{version: 1, job: []}", "{version: 1, job: {phases: []}}", "{version: 1, job: {phases: setup}}",
        "{version: 1, job: {phases: [{}]}}", "{version: 1, job: {phases: [{parallel: []}]}}", "{version: 1, job: {phase: [setup]}}",
        "{version: 1, job: {phases: [[setup]]}}", "{version: 1, job: {hold_policy: 1}}", "{version: 1, operator_token_file: [x]}",
    ],
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_wrong_shape_is_refused_by_both(kind, tmp_path):
    wrong = []
    for text in REFUSED[kind]:
        loaded, _ = loads(kind, text, tmp_path)
        if loaded or not faults(kind, text):
            wrong.append((text, "the loader takes it" if loaded else "the schema takes it"))
    assert wrong == []


# What the loader accepts: files from a generator that is right most of the time


class Plain(str):
    """A scalar that is written without quotes, whatever YAML makes of it."""


def written(value, rng):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {written(one, rng)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(one, rng) for one in value) + "]"
    if value is None:
        return rng.choice(["null", "~", ""])
    if isinstance(value, Plain):
        return str(value)
    if isinstance(value, str):
        plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9./_-]*", value) and read_yaml(value) == value
        return value if plain and rng.random() < 0.5 else json.dumps(value)
    return json.dumps(value)


GOOD = {
    "host": ["x.example", "a.b.x.example", "*.x.example", "**.x.example", "*.y.example", "X.Example", "a_b.x.example", "bücher.example",
             "*.bücher.example", "xn--bcher-kva.example", "localhost", "3com.example", "x.example."],
    "prefix": ["192.0.2.0/24", "198.51.100.7", "2001:db8::/32", "::1", "2001:db8::7/128", "203.0.113.0/25", "::ffff:192.0.2.1"],
    "port": [443, 80, "443", "8000-8100", Plain("8000-8100"), Plain("0080"), 65535, 1],
    "limit": ["20MiB", Plain("1GiB"), 1024, "1024", Plain("64kB"), Plain("010"), 4611686018427387904],
    "text": ["why not", "x", Plain("4711"), Plain("true"), Plain("1.5"), "ä ö", Plain("2030-01-31"), "null", Plain("no"), Plain("-1"),
             "r" * 1000],
    "date": ["2030-01-31", Plain("2031-12-01"), "2032-02-29"],
    "method": ["GET", "HEAD", "POST", "M-SEARCH"],
    "path_pattern": ["/", "/a", "/a/*/b", "/a/**", "/%20/x?", "/a;b=c", "/~x", "/a/"],
    "flag": [True, False],
    "duration": ["10s", Plain("500ms"), "1m", Plain("00100ms"), "1h"],
    "duration_or_0": ["10s", Plain("1h"), 0, "0", Plain("00"), "0s"],
    "path": ["x.log", "/run/x y.log", Plain("12"), "ä.log"],
    "bundle": ["node", "debian", "github", "python"],
}
BAD = [None, [], {}, "", -1, 0, 99999999, True, 1.5, "nonsense here", "*", "x.example", Plain("0x50"), "10 MB", ["x"], {"a": 1}, "443x",
       "a" * 2000, "//", "2030-02-30", "10.0.0.1/8", "any", "none", "1", "\t", "/../x", "GET", "::/0", "*.com"]


class Generator:
    def __init__(self, seed):
        self.rng = random.Random(seed)

    def some(self, kind):
        return self.rng.choice(BAD) if self.rng.random() < 0.02 else self.rng.choice(GOOD[kind])

    def word(self, *words):
        return self.rng.choice(BAD) if self.rng.random() < 0.02 else self.rng.choice(words)

    def one_or_list(self, kind):
        return self.some(kind) if self.rng.random() < 0.5 else self.several(kind)

    def several(self, kind, least=1):
        return [self.some(kind) for _ in range(self.rng.randint(least, 3))]

    def picked(self, likely=0.25, **makers):
        out = {name: make() for name, make in makers.items() if self.rng.random() < likely}
        if self.rng.random() < 0.01:
            out[self.rng.choice(["host", "apex", "ports", "mode", "final", "unix", "nonsense", "inspect"])] = self.rng.choice(BAD)
        return out

    def ports(self):
        return Plain("any") if self.rng.random() < 0.1 else self.one_or_list("port")

    def notes(self):
        return self.picked(reason=lambda: self.some("text"), owner=lambda: self.some("text"), ticket=lambda: self.some("text"))

    def rule(self, included=False):
        if self.rng.random() < 0.15:
            return {"use": self.some("bundle"), **self.notes(),
                    **self.picked(0.2, accept_risk=lambda: self.some("text"), expires=lambda: self.some("date"),
                                  upload_limit=lambda: self.some("limit"), download_limit=lambda: self.some("limit"))}
        out = {"cidr": self.some("prefix")} if self.rng.random() < 0.2 else {"host": self.some("host")}
        wild = str(out.get("host", "")).startswith("*")
        out |= self.notes() | self.picked(
            0.2, expires=lambda: self.some("date"), accept_risk=lambda: self.some("text"),
            upload_limit=lambda: self.some("limit"), download_limit=lambda: self.some("limit"),
            **({"resolve_in": lambda: self.one_or_list("prefix")} if "host" in out else {}),
            **({"apex": lambda: self.some("flag"), "max_names": lambda: self.rng.choice([5, "5", Plain("007"), 1000000]),
                "max_name_entropy": lambda: self.rng.choice([4, "64", 1338])} if wild else {}))
        if self.rng.random() < 0.2:
            out |= {"ports": self.rng.choice([80, "80", [80, "8080"], [Plain("8000-8100")], Plain("080")])}
            out |= self.picked(0.7, methods=lambda: self.one_or_list("method"), paths=lambda: self.one_or_list("path_pattern"))
        else:
            out |= self.picked(ports=self.ports)
            if not included:
                out |= self.picked(tls=lambda: self.word("require", "any"), ech=lambda: self.word("refuse", "allow"))
            else:
                out |= self.picked(tls=lambda: self.word("require"), ech=lambda: self.word("refuse"))
        return out

    def deny(self, included=False):
        out = {"cidr": self.some("prefix")} if self.rng.random() < 0.2 else {"host": self.some("host")}
        more = {} if included else {"final": lambda: self.some("flag")}
        return out | self.notes() | self.picked(ports=self.ports, **more)

    def test(self):
        return {"phase": self.word("agent", "setup"), "url": self.word("https://x.example/", "x.example:443", "http://x.example:80/a"),
                "expect": self.word("allow", "deny", "would_deny"),
                **self.picked(method=lambda: self.some("method"), rule=lambda: self.some("text"),
                              reason=lambda: self.word("no-rule", "allowed", "http-only"))}

    def phases(self, included):
        def phase():
            rules = {"allow": lambda: [self.rule(included) for _ in range(self.rng.randint(0, 2))]}
            if included:
                return self.picked(0.8, **rules)
            return self.picked(0.8, **rules) | self.picked(
                untrusted=lambda: self.some("flag"), mode=lambda: self.word("enforce", "audit"), final=lambda: self.some("flag"),
                hints=lambda: self.word("code", "full"), ech=lambda: self.word("refuse", "allow"),
                upload_limit=lambda: self.some("limit"), download_limit=lambda: self.some("limit"))
        return {"agent": phase(), "setup": phase()}

    def exception(self):
        out = {"cidr": self.some("prefix"), **self.picked(0.2, reason=lambda: self.some("text"))}
        return out | self.rng.choice([{"hosts": self.several("host")}, {"literal": True}, {"hosts": self.several("host"), "literal": False}])

    def policy(self):
        return {"version": self.rng.choice([1, "1"]), "phases": self.phases(False)} | self.picked(
            deny=lambda: [self.deny() for _ in range(self.rng.randint(0, 2))], tests=lambda: [self.test()],
            addresses=lambda: [self.exception()], upload_limit=lambda: self.some("limit"), include=lambda: [])

    def policy_include(self):
        return {"version": 1} | self.picked(0.7, phases=lambda: self.phases(True), tests=lambda: [self.test()],
                                            deny=lambda: [self.deny(True) for _ in range(self.rng.randint(0, 2))])

    def source(self, phase, alternative=False):
        """One source of identity, whose entries name a phase where the listener has none."""
        own = (lambda: {}) if phase else (lambda: {"phase": self.word("agent", "setup")})
        peer = lambda: self.rng.choice([{"uid": 1002}, {"uid": "7"}, {"user": "root"}, {"cgroup": "/sys/fs/cgroup/x"},
                                        {"uid": Plain("007"), "cgroup": "/x y"}]) | own()
        token = lambda: {"sha256": self.word("9f" * 32, Plain("1" * 64), "AB" * 32)} | own()
        made = [{"peer": [peer(), peer()]} | self.picked(allow_own_uid=lambda: self.some("flag")),
                {"source": [{"cidr": self.some("prefix")} | own()]}, {"credential": {"tokens": [token()]}},
                {"credential": {"jobs": True} | self.picked(tokens=lambda: [token()])}]
        if not alternative:
            made += [{"proxy_protocol": self.several("prefix")}, {"any_of": [self.source(phase, True)]}]
        return self.rng.choice(made)

    def listener(self):
        phase = {"phase": self.word("agent", "setup")}
        if self.rng.random() < 0.4:
            held = self.rng.random() < 0.5
            listed = ["listener"] if held else []
            if self.rng.random() < 0.3:
                names = [{"san_uri": "x://{job}/{phase}"}, {"common_name": "{phase}"}, {"san_dns": "{job}.x.example"} | phase, {"common_name": Plain("12")} | phase]
                return {"address": "0.0.0.0:0", "identity": [*listed, {"mtls": [self.rng.choice(names)]}],
                        "tls": {"certificate": "c.pem", "key": "k.pem", "client_ca": "ca.pem"}} | (phase if held else {})
            return {"address": "127.0.0.1:0", "identity": [*listed, self.source(held)]} | (phase if held else {})
        if self.rng.random() < 0.5:
            tls = {"certificate": self.some("path"), "key": self.some("path")} | self.word({}, {"client_ca": "ca"}, {"client_ca": "ca", "crl": "c"})
            return phase | {"address": self.word("127.0.0.1:3128", "[::1]:0", Plain("127.0.0.1:00080"), "127.0.0.2:1")} | self.picked(
                tls=lambda: tls)
        return phase | {"unix": self.some("path")} | self.picked(mode=lambda: self.word("0600", Plain("0660"), "660", Plain("0777")))

    def exeat(self):
        some, word, picked = self.some, self.word, self.picked
        return {"version": 1} | picked(
            listeners=lambda: [self.listener() for _ in range(self.rng.randint(1, 2))], policy=lambda: word("policy.yaml", "./policy.yaml"),
            admin=lambda: word("none", {}, {"address": "127.0.0.1:9400"}, {"unix": "a.sock", "mode": "0600"},
                               {"address": "[::1]:1", "allowed_hosts": ["x.example"]}, {"allowed_hosts": []}),
            control=lambda: word("none", {"unix": "c.sock"}, {"unix": "c.sock", "mode": "0600"}),
            log=lambda: picked(file=lambda: some("path"), blocked=lambda: some("path"), syslog=lambda: some("flag"),
                               stdout=lambda: some("flag"), format=lambda: word("auto", "json", "text"),
                               rotate_size=lambda: word(0, "0", "64KiB", Plain("1GB"), 65536), rotate_keep=lambda: word(0, "5", 1000)),
            dns=lambda: picked(resolver=lambda: word("c-ares", "system"), hosts_file=lambda: some("flag"), timeout=lambda: some("duration"),
                               servers=lambda: word(["127.0.0.1"], ["127.0.0.1:53", "::1", "[::1]:53"]), tries=lambda: word(1, "10"),
                               cache_entries=lambda: word(0, 1000000), min_ttl=lambda: some("duration_or_0"),
                               negative_ttl=lambda: some("duration_or_0")),
            workers=lambda: word(0, 256, "2", Plain("002")),
            upstream=lambda: {"proxies": [{"hosts": word(["*"], ["**.corp.example", "*"], ["x.example"]),
                                           "proxy": word("http://p.example:3128", "http://[::1]:1/", "http://127.0.0.1:65535"),
                                           **picked(credential_file=lambda: some("path"), resolve=lambda: word("local", "remote"),
                                                    http=lambda: word("forward", "tunnel"))}],
                              **picked(no_proxy=lambda: word(["x.example", "10.0.0.0/8"], ["**.y.example"], ["::1", "127.0.0.1"]))},
            limits=lambda: picked(connections=lambda: word(1, "1000"), head_bytes=lambda: word("64KiB", 1024, Plain("1MiB")),
                                  head_fields=lambda: word(8, 128), upstream_idle=lambda: word(0, 5)),
            timeouts=lambda: picked(head=lambda: some("duration"), idle=lambda: some("duration"),
                                    tunnel_idle=lambda: some("duration_or_0")),
            drain_timeout=lambda: some("duration_or_0"), watch=lambda: some("flag"), on_tighten=lambda: word("keep", "cut"),
            via=lambda: word("exeat", Plain("12"), "a!#$%&'*+-.^_`|~"))


def generated(kind, seed):
    made = Generator(seed)
    return made, getattr(made, kind.replace("-", "_"))()


@pytest.mark.parametrize("kind", NAMES)
def test_what_the_loader_accepts_the_schema_accepts(kind, tmp_path):
    accepted, wrong = 0, []
    for seed in range(ROUNDS):
        made, value = generated(kind, seed)
        text = written(value, made.rng)
        loaded, _ = loads(kind, text, tmp_path)
        accepted += loaded
        found = faults(kind, text)
        if loaded and found:
            wrong.append((seed, text, found))
    assert wrong[:3] == []
    assert ROUNDS * 0.3 < accepted < ROUNDS, f"{accepted} of {ROUNDS}: the generator is no good"


def places(value, path=()):
    """(map or list, key or index) of everything in a value."""
    for key, one in list(value.items()) if isinstance(value, dict) else list(enumerate(value)):
        yield value, key
        if isinstance(one, (dict, list)):
            yield from places(one)


@pytest.mark.parametrize("kind", NAMES)
def test_a_broken_shape_is_refused_by_both(kind, tmp_path):
    broken, wrong = 0, []
    for seed in range(ROUNDS):
        made, value = generated(kind, seed)
        if not loads(kind, written(value, made.rng), tmp_path)[0]:
            continue
        holder, key = made.rng.choice(list(places(value)))
        was = holder[key]
        if isinstance(was, dict) and made.rng.random() < 0.5:
            # Under `phases` any name is a phase's: an unknown one is a fault of another kind there.
            if holder is value and key == "phases":
                continue
            was["nonsense"] = 1
        else:
            holder[key] = [was] if isinstance(was, dict) else {"nonsense": 1}
        text = written(value, made.rng)
        broken += 1
        loaded, _ = loads(kind, text, tmp_path)
        if loaded or not faults(kind, text):
            wrong.append((seed, text, loaded))
    assert wrong[:3] == []
    assert broken > ROUNDS * 0.25
