"""The conformance table (tests/conformance) against the real binary; docs/conformance.md is what it says, in words."""
import dataclasses
import os
import random
import ssl
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance import hello  # noqa: E402
from conformance.notation import Onward, Relayed, RequestCase, ResponseCase, TunnelCase  # noqa: E402
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


def some_hello(number, _):
    """A ClientHello of parts that fit and parts that do not, in records of any size, with an octet changed here and there."""
    rng = random.Random(number)
    own, evil = hello.server_name(f"c{number:05d}.corp.example"), hello.server_name("evil.corp.example")
    parts = [own] * rng.choice((0, 1, 1, 1, 1, 1, 1, 2)) + [evil] * rng.choice((0, 0, 0, 1))
    parts += [hello.versions(*rng.choice(((0x0304,), (0x0303, 0x0304), (0x2a2a, 0x0304), (0x0303,)))), hello.key_share(29, 32),
              hello.extension(13, hello.sized("\4\3\10\4", 2)), hello.extension(10, hello.sized("\0\x1d\0\x17", 2))]
    parts += rng.sample([hello.alpn("h2", "http/1.1"), hello.extension(0x0a0a, ""), hello.extension(0xff01, "\0"), hello.ech(),
                         hello.extension(21, "\0" * 200), hello.extension(0, ""), hello.extension(35, "")], rng.randrange(4))
    rng.shuffle(parts)
    text = hello.message(*parts, ciphers="\x13\1\x13\2\xc0\x2b\xc0\x2f")
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        at = rng.randrange(len(text))
        octet = rng.choice((chr(rng.randrange(256)), chr((ord(text[at]) + 1) % 256), chr((ord(text[at]) - 1) % 256), "\0"))
        text = text[:at] + rng.choice((octet, octet, "", octet + text[at])) + text[at + 1:]
    return hello.records(text, rng.choice((16384, 16384, 100, 7, rng.randrange(1, 300)))).encode("latin-1")


def server_name_by_openssl(context, octets):
    """What another reader takes for the server name: None where it finds none, or refuses the hello before."""
    names = []
    context.sni_callback = lambda connection, name, _: names.append(name)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(octets)
    try:
        context.wrap_bio(incoming, outgoing, server_side=True).do_handshake()
    except ssl.SSLError:
        pass
    return names[0] if names else None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of names that Python cannot decode
def test_whatever_the_hello_another_reader_finds_the_same_name(ca):
    case = TunnelCase("any", "8446 4.1.2", "CONNECT origin.corp.example:10080 HTTP/1.1\r\nHost: origin.corp.example:10080\r\n\r\n", "", None,
                      finish=True)
    stage = Stage([case] * 2000, some_hello)
    stage.play()
    stage.proxy.remove()
    context = ca.server_context("origin.corp.example")
    found = Counter()
    for number in range(len(stage.cases)):
        visit, = stage.origin.visits[number]
        if visit.octets:
            assert visit.octets == stage.inside(number), "the origin got something else"
            name = server_name_by_openssl(context, visit.octets)
            assert name is None or name.lower() == f"c{number:05d}.corp.example", (number, name)
            found[name is not None] += 1
        else:
            found[server_name_by_openssl(context, stage.inside(number))] += 1
    # The test is about hellos that both take, and about such that OpenSSL would have taken for another host.
    assert found[True] > 100 and found["evil.corp.example"] > 20, found.most_common(8)


def test_no_name_was_looked_up_that_no_case_may_reach(stage):
    assert stage.foreign == set()


def test_every_decision_was_logged(stage):
    """One line of a decision for each answer of the proxy's own and each request that went on."""
    ids = [record for records in stage.log.values() for record in records if record["event"] == "decision"]
    assert len(ids) == len(stage.log), "a decision without its line, or with two"
    assert all(record["reason"] == "allowed" for record in ids if record["verdict"] == "allow")


def test_the_page_is_not_stale():
    assert (ROOT / "docs/conformance.md").read_text() == page(), "write it anew: python3 -m conformance.page > docs/conformance.md"
