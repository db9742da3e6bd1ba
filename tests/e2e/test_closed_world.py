"""Every address answers, and every packet is on record: what was not allowed and checked is never contacted."""
import dataclasses
import struct
import threading

import pytest

from harness.client import eventually
from harness.dns import (A, AAAA, NXDOMAIN, REFUSED, SERVFAIL, TXT, DnsServer, address, alias, by_family, by_turns, held,
                         records, resource, truncated)
from harness.proxy import Exeat
from harness.world import INSIDE, NAME_SERVER, World, why_not

GOOD4, GOOD6 = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
NAT64 = "64:ff9b::5db8:d70e"  # GOOD4 behind the well-known prefix
MANY = [f"93.184.{i // 250}.{1 + i % 250}" for i in range(300)]
BAD = ["10.0.0.1", "127.0.0.1", "169.254.169.254", "168.63.129.16", "0.0.0.0", "100.100.100.200", "172.16.0.1",
       "192.168.1.1", "192.0.0.192", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", INSIDE, NAME_SERVER,
       "::", "::1", "::ffff:10.0.0.1", f"::ffff:{GOOD4}", f"::{GOOD4}", "fe80::1", "fc00::1", "fd00:ec2::254",
       "ff02::1", "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::5db8:d70e", "2002:a00:1::1",
       "2001:0:4136:e378:8000:63bf:f5ff:fffe", "2001:db8::1", "100::1"]
ORIGINS = [{"host": "**.corp.example", "ports": [80, 443, 8443], "tls": "any"}]
SHORT = [{"host": host, "tls": "any"} for host in ("intranet", "absent", "short.name")]
POLICY = {"version": 1, "phases": {"agent": {"allow": ORIGINS + SHORT}, "setup": {"allow": []}, "mcp": {"allow": []}},
          "deny": [{"host": "evil.corp.example"}]}
# A resolver that searched, or looked at more than it was told to, would ask for other names.
RESOLV_CONF = f"nameserver {NAME_SERVER}\nsearch corp.example internal\noptions ndots:4 attempts:2 timeout:"


@pytest.fixture(scope="module")
def world():
    if reason := why_not():
        pytest.skip(reason)
    made = World()
    yield made
    made.close()


@pytest.fixture(scope="module")
def names(world):
    with world.outside():
        server = DnsServer(host=NAME_SERVER, port=53)
    yield server
    server.close()


class Inside:
    """A proxy in the world, and what a test may ask of both."""
    listeners = set()  # of all of them

    def __init__(self, world, names, folder, system, patient=False, mount="", **dns):
        self.world, self.names, self.permitted, self.system = world, names, set(), system
        conf = folder / "resolv.conf"
        conf.write_text(f"{RESOLV_CONF}{30 if patient else 1}\n")
        if patient:
            dns["timeout"] = "30s"
        how = {"resolver": "system", "hosts_file": None} if system else {"timeout": "300ms", "tries": 2}
        # Without `servers`: those of resolv.conf.
        settings = {"workers": 1, "timeouts": {"dns": "60s" if patient else "6s"}, "dns": {"servers": None, **how, **dns}}
        aliases = folder / "aliases"
        aliases.write_text("intranet evil.corp.example\nabsent evil.corp.example\n")
        bind = ["unshare", "-m", "--", "sh", "-c", f'mount --bind "$0" /etc/resolv.conf {mount} && exec "$@"', str(conf)]
        self.proxy = Exeat(POLICY, settings, wrapper=bind, environment={
            "HOSTALIASES": str(aliases), "LOCALDOMAIN": "corp.example internal", "RES_OPTIONS": "ndots:9"})
        self.proxy.start()
        self.listeners |= {("tcp", "127.0.0.1", port) for port in self.proxy.ports.values()}
        self.first, self.first_query = world.mark(), len(names.queries)

    def host(self, label):
        """A name that only this kind of resolver asks for."""
        return f"{label}.{'system' if self.system else 'ares'}.corp.example"

    def ask(self, target, plain=False):
        """The answer, and the connections and datagrams that it took, the client's own left out."""
        mark = self.world.mark()
        with self.proxy.client() as client:
            answer = client.get(f"http://{target}/", ["Connection: close"]) if plain else client.connect(target)
        return answer, self.left_since(mark)

    def left_since(self, mark):
        return [one for one in self.world.seen(mark) if one not in self.listeners]

    def dials(self, left):
        """The addresses of attempts; whatever is no attempt must be a question to the one name server."""
        server = {("udp", NAME_SERVER, 53), ("tcp", NAME_SERVER, 53)}
        rest = [one for one in left if one not in server]
        assert {kind for kind, _, _ in rest} <= {"tcp"}, rest
        return {to for _, to, _ in rest}

    def finish(self):
        self.proxy.stop()
        assert self.dials(self.left_since(self.first)) <= self.permitted
        # Nothing but A and AAAA, and so no reverse look-ups, ever.
        queries = self.names.queries[self.first_query:]
        assert {kind for _, kind in queries} <= {A, AAAA}
        assert not [name for name, _ in queries if name.endswith("arpa") or name == "" or name.endswith("internal")]
        self.proxy.remove()


@pytest.fixture(scope="module", params=["c-ares", "system"])
def inside(request, world, names, tmp_path_factory):
    made = Inside(world, names, tmp_path_factory.mktemp("inside"), request.param == "system")
    yield made
    made.finish()


def of_a(*lines, rcode=0):
    """These records in answer to A, none to AAAA."""
    return by_family(records(*lines, rcode=rcode), [])


def own(text, ttl=60):
    return lambda query: address(query.name, text, ttl)


def to(target):
    return lambda query: alias(query.name, target)


def octets(*parts):
    """Behind the right id."""
    return lambda query: struct.pack("!H", query.id) + b"".join(parts)


def with_wrong_question(query):
    other = dataclasses.replace(query, question=b"\5other\4test\0" + query.question[-4:])
    return other.reply([address(query.name, "10.0.0.1")])


# What the name server says of a name, and which addresses may be contacted then. Where there are none, the request
# fails; where there are, it is let through to one of them.
ANSWERS = {
    "one": ([GOOD4], {GOOD4}),
    "one6": ([GOOD6], {GOOD6}),
    "both": ([GOOD4, GOOD6], {GOOD4, GOOD6}),
    "nat64": ([NAT64], {NAT64}),
    "no-aaaa": (by_family([GOOD4], SERVFAIL), {GOOD4}),
    "ttl-0": (of_a(own(GOOD4, 0)), {GOOD4}),
    "ttl-2-31": (of_a(own(GOOD4, 1 << 31)), {GOOD4}),
    "ttl-most": (of_a(own(GOOD4, (1 << 32) - 1)), {GOOD4}),
    "truncated": (truncated([GOOD4]), {GOOD4}),
    "chain": (of_a(to("a.test"), alias("a.test", "b.test"), alias("b.test", "c.test"), address("c.test", GOOD4)), {GOOD4}),
    # Aliases are followed, and decide nothing.
    "chain-over-denied": (of_a(to("evil.corp.example"), address("evil.corp.example", GOOD4)), {GOOD4}),
    "many": (truncated(MANY[:64]), set(MANY[:64])),
    "wrong-id-first": (by_family(lambda q: [q.reply([own("10.0.0.1")(q)], id=q.id ^ 1), q.reply([own(GOOD4)(q)])], []),
                       {GOOD4}),
    "wrong-question-first": (by_family(lambda q: [with_wrong_question(q), q.reply([own(GOOD4)(q)])], []), {GOOD4}),
    "no-octets-first": (by_family(lambda q: [b"", q.reply([own(GOOD4)(q)])], []), {GOOD4}),
    # The rest leads nowhere.
    "nxdomain": (NXDOMAIN, set()),
    "servfail": (SERVFAIL, set()),
    "refused": (REFUSED, set()),
    "empty": ([], set()),
    "nxdomain-with-address": (of_a(own(GOOD4), rcode=3), set()),
    "refused-with-address": (of_a(own(GOOD4), rcode=5), set()),
    "alias-alone": (of_a(to("nowhere.test")), set()),
    "alias-to-itself": (of_a(lambda q: alias(q.name, q.name)), set()),
    "loop": (of_a(to("a.test"), lambda q: alias("a.test", q.name)), set()),
    "loop-with-bad": (of_a(to("a.test"), lambda q: alias("a.test", q.name), own("10.0.0.1")), set()),
    "foreign-name": (of_a(address("other.test", GOOD4)), set()),
    "chain-to-internal": (of_a(to("metadata.google.internal"), address("metadata.google.internal", "169.254.169.254")),
                          set()),
    "bad-beside-chain": (of_a(to("a.test"), address("a.test", GOOD4), address("a.test", "10.0.0.1")), set()),
    "wrong-type": (by_family(records(own(GOOD6)), records(own(GOOD4))), set()),
    "text": (records(lambda q: resource(q.name, TXT, b"\4text")), set()),
    "short-address": (of_a(lambda q: resource(q.name, A, b"\x5d\xb8\xd7")), set()),
    "no-octets": (lambda q: [b"", b""], set()),
    "no-message": (octets(), set()),
    "garbage": (octets(b"\xff" * 80), set()),
    "count-without-records": (octets(b"\x81\x80\0\1\0\xff\0\0\0\0"), set()),
    "pointer-loop": (of_a(lambda q: b"\xc0\x0c" * 4), set()),
    "wrong-id": (lambda q: q.reply([own(GOOD4)(q)], id=q.id ^ 1), set()),
    "truncated-to-bad": (truncated(["10.0.0.1"]), set()),
    "truncated-for-ever": (lambda q: q.reply(truncated=True), set()),
    # The part over UDP is good, the whole is not.
    "truncated-good-part": (by_family(lambda q: [GOOD4, "10.0.0.1"] if q.over_tcp else
                                      q.reply([own(GOOD4)(q)], truncated=True), []), set()),
    "bad-among-many": (truncated(MANY[:20] + ["10.0.0.1"] + MANY[20:25]), set()),
    "bad-behind-many": (truncated(MANY[:60] + ["10.0.0.1"]), set()),
    # Nobody judges so many, so none is contacted.
    "too-many": (truncated(MANY), set()),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_only_checked_addresses_are_contacted(inside, what):
    record, expected = ANSWERS[what]
    if inside.system and what in ("foreign-name", "no-message", "no-octets-first"):
        pytest.skip("the C library's own affair")
    host = f"{what}.corp.example"
    inside.names.records[host] = record
    inside.permitted |= expected
    answer, left = inside.ask(f"{host}:443")
    dialled = inside.dials(left)
    assert answer.status == 200 if expected else answer.status in (403, 502, 504), (answer.reason, left)
    assert dialled <= expected and bool(dialled) == bool(expected)
    assert {port for _, _, port in left} <= {53, 443}
    assert {name for name, _ in inside.names.queries if name.startswith(f"{what}.")} == {host}


@pytest.mark.parametrize("bad", BAD)
def test_one_bad_address_keeps_all_from_being_contacted(inside, bad):
    label = bad.replace(":", "-").replace(".", "-").strip("-") or "any6"
    for name, record in ((f"x{label}", [bad]), (f"x{label}-last", [GOOD4, GOOD6, bad]),
                         (f"x{label}-first", [bad, GOOD4, GOOD6])):
        inside.names.records[f"{name}.corp.example"] = record
        answer, left = inside.ask(f"{name}.corp.example:443")
        # The C library gives an IPv4-mapped address away as the IPv4 address within.
        if inside.system and bad == f"::ffff:{GOOD4}" and answer.status == 200:
            assert inside.dials(left) <= {GOOD4, GOOD6}
            inside.permitted |= {GOOD4, GOOD6}
            continue
        assert answer.reason == "egress-denied address-forbidden", (name, answer.reason)
        assert inside.dials(left) == set()
        assert inside.ask(f"{name}.corp.example:80", plain=True)[0].status == 403


@pytest.mark.parametrize("plain", [False, True], ids=["connect", "plain"])
def test_what_is_denied_sends_no_packet(inside, plain):
    targets = ["denied.test", "evil.corp.example", "corp.example", "xcorp.example", "corp.example.evil.test",
               "localhost", "x.localhost", "x.onion", "metadata.google.internal", "1.0.0.127.in-addr.arpa",
               "a..corp.example", "one.corp.example%00.evil.test", "-x.corp.example", "one.corp.example@evil.test",
               "169.254.169.254", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "8.8.8.8", INSIDE,
               NAME_SERVER, "[::1]", "[::ffff:10.0.0.1]", "[::ffff:8.8.8.8]", "[2606:4700:4700::1111]", "[fe80::1%25lo]"]
    for target in targets:
        for port in (80, 443, 53):
            answer, left = inside.ask(f"{target}:{port}", plain)
            assert 400 <= answer.status < 500, (target, answer.reason)
            assert left == [], target
    for target in ("one.corp.example:25", "one.corp.example:65979", "one.corp.example:+443", "one.corp.example:"):
        answer, left = inside.ask(target, plain)
        assert 400 <= answer.status < 500 or (plain and target.endswith(":")), (target, answer.reason)
        if answer.status < 500:
            assert left == [], target


def test_a_short_name_is_asked_for_as_it_is(inside):
    """resolv.conf and the environment have search domains, many dots to reach before a name is tried as it is, and
    aliases."""
    inside.names.records.update({"intranet": [GOOD4], "short.name": [GOOD4],
                                 "absent.corp.example": ["93.184.215.99"], "intranet.corp.example": ["93.184.215.99"]})
    inside.permitted.add(GOOD4)
    before = len(inside.names.queries)
    for host, status in (("intranet", 200), ("short.name", 200), ("absent", 502)):
        answer, left = inside.ask(f"{host}:443")
        assert answer.status == status
        assert inside.dials(left) == ({GOOD4} if status == 200 else set())
    assert {name for name, _ in inside.names.queries[before:]} == {"intranet", "short.name", "absent"}


def test_a_rebound_name_is_refused_and_never_dialled_anew(inside, tmp_path):
    """Each answer is checked, however soon the next one differs; what was checked is what is dialled."""
    proxy = Inside(inside.world, inside.names, tmp_path, inside.system, max_ttl="1s")
    proxy.permitted.add(GOOD4)
    for name, later in (("rebind", ["10.0.0.1"]), ("rebind-part", [GOOD4, "169.254.169.254"])):
        host = inside.host(name)
        # A and AAAA are counted apart: the second look-up is the first one that is lied to.
        inside.names.records[host] = by_family(by_turns([GOOD4], later), [])
        statuses = []

        def ask():
            statuses.append(proxy.ask(f"{host}:443"))
            return statuses[-1][0].status == 403
        assert eventually(ask, 60)
        assert statuses[0][0].status == 200
        for answer, left in statuses:
            assert proxy.dials(left) == ({GOOD4} if answer.status == 200 else set())
        inside.names.records[host] = ["10.0.0.1"]
        assert proxy.ask(f"{host}:443")[0].status == 403
    proxy.finish()


def test_within_its_ttl_an_answer_is_not_asked_for_again(inside):
    host = inside.host("remembered")
    inside.names.records[host] = by_turns([GOOD4], ["10.0.0.1"])
    inside.permitted.add(GOOD4)
    inside.names.ttl = 3600
    for _ in range(5):
        answer, left = inside.ask(f"{host}:443")
        assert answer.status == 200 and inside.dials(left) == {GOOD4}
    assert sorted(kind for name, kind in inside.names.queries if name == host) == [A, AAAA]


def test_a_name_that_does_not_exist_is_not_asked_for_again(inside):
    host = inside.host("gone")
    for _ in range(3):
        assert inside.ask(f"{host}:443")[0].status == 502
    assert sorted(kind for name, kind in inside.names.queries if name == host) == [A, AAAA]


def test_many_who_ask_at_once_share_one_look_up(inside, tmp_path):
    inside = Inside(inside.world, inside.names, tmp_path, inside.system, patient=True)
    host, release = inside.host("shared"), threading.Event()
    inside.names.records[host] = held(release, [GOOD4])
    inside.permitted.add(GOOD4)
    answers = []

    def ask():
        with inside.proxy.client() as client:
            answers.append(client.connect(f"{host}:443").status)
    asking = [threading.Thread(target=ask, daemon=True) for _ in range(12)]
    for one in asking:
        one.start()
    assert eventually(lambda: inside.proxy.metric("exeat_active_connections") >= 12 and inside.names.asked(host) == 2)
    release.set()
    for one in asking:
        one.join()
    assert answers == [200] * 12
    assert sorted(kind for name, kind in inside.names.queries if name == host) == [A, AAAA]
    inside.finish()


def test_of_several_checked_addresses_one_that_answers_serves(inside):
    dead = "2606:2800:21f::dead"
    inside.world.swallow(dead)
    inside.names.records["half.corp.example"] = [dead, GOOD4]
    inside.permitted |= {dead, GOOD4}
    answer, left = inside.ask("half.corp.example:443")
    assert answer.status == 200
    assert inside.dials(left) == {dead, GOOD4}
    assert [to for kind, to, _ in left if kind == "tcp" and to != NAME_SERVER][0] == dead  # IPv6 first


def test_all_checked_addresses_are_tried_and_no_other(inside):
    """Nobody listens on 8443: each address refuses."""
    addresses = [GOOD4, "93.184.215.15", GOOD6, "2606:2800:21f::2"]
    inside.names.records["closed.corp.example"] = addresses
    inside.permitted |= set(addresses)
    answer, left = inside.ask("closed.corp.example:8443")
    assert (answer.status, answer.reason) == (502, "upstream-failed connect-refused")
    order = [to for kind, to, port in left if kind == "tcp" and port == 8443]
    assert sorted(order) == sorted(addresses)
    assert [":" in to for to in order] == [True, False, True, False]


def test_message_ids_are_random_without_dev_urandom(world, names, tmp_path):
    """c-ares 1.18 would draw them from rand(), which begins alike in every process (CVE-2023-31147)."""
    runs = []
    for _ in range(2):
        first = len(names.ids)
        proxy = Inside(world, names, tmp_path, False, mount="&& mount --bind /dev/null /dev/urandom")
        for label in "abcd":
            assert proxy.ask(f"id-{label}.corp.example:443")[0].status == 502
        runs.append([number for name, number in zip(names.queries[first:], names.ids[first:]) if "id-" in name[0]])
        proxy.finish()
    assert [len(run) for run in runs] == [8, 8]
    assert runs[0] != runs[1]


def test_source_ports_change_under_load_too(world, names, tmp_path):
    """A question that stays open keeps the socket open that it left by."""
    release = threading.Event()
    names.records["open.corp.example"] = held(release, NXDOMAIN)
    proxy = Inside(world, names, tmp_path, False, patient=True)
    waiting = threading.Thread(target=lambda: proxy.proxy.client().connect("open.corp.example:443"), daemon=True)
    waiting.start()
    assert eventually(lambda: names.asked("open.corp.example") == 2)
    first = len(names.sources)
    for number in range(150):
        with proxy.proxy.client() as client:
            assert client.connect(f"load-{number}.corp.example:443").status == 502
    ports = [port for name, (_, port) in zip(names.queries[first:], names.sources[first:]) if "load-" in name[0]]
    release.set()
    waiting.join()
    assert len(ports) == 300 and max(map(ports.count, ports)) <= 130
    proxy.finish()
