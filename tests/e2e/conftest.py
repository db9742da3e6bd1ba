"""Fixtures of the end-to-end tests: the real binary, a certificate authority, DNS, origins; all on loopback."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness.authority import Authority  # noqa: E402
from harness.dns import DnsServer  # noqa: E402
from harness.origin import Origin  # noqa: E402
from harness.proxy import BINARY, Exeat, clean_environment  # noqa: E402
from harness.upstream import Upstream  # noqa: E402


def pytest_configure(config):
    if not os.access(BINARY, os.X_OK):
        pytest.exit(f"no binary at {BINARY}: set EXEAT_BINARY, or make build", 2)


@pytest.fixture(scope="session")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def dns():
    """Answers 127.0.0.1 for the names that most tests use; a test adds what it needs to `dns.records`."""
    server = DnsServer({f"{name}.corp.example": ["127.0.0.1"] for name in ("origin", "other", "denied")})
    yield server
    server.close()


@pytest.fixture
def origin(request):
    """origin(handler, context=None): a server that ends with the test."""
    def make(handler, context=None, **more):
        server = Origin(handler, context, **more)
        request.addfinalizer(server.close)
        return server
    return make


@pytest.fixture
def upstream(request):
    """upstream(...): a forward proxy that ends with the test."""
    def make(*arguments, **more):
        server = Upstream(*arguments, **more)
        request.addfinalizer(server.close)
        return server
    return make


@pytest.fixture
def exeat(dns):
    """exeat(policy, settings=None, ...): a started proxy that resolves through `dns`; its end is asserted."""
    running = []

    def make(policy, settings=None, **more):
        proxy = Exeat(policy, settings, dns=dns.address, **more)
        running.append(proxy)
        return proxy.start()
    yield make
    for proxy in running:
        proxy.stop()
    for proxy in running:
        proxy.remove()


@pytest.fixture
def run(tmp_path):
    """run(command, proxy=URL, **environment): a client program to its end, in a folder of its own."""
    def make(*command, timeout=180, cwd=None, input=None, **environment):
        return subprocess.run([str(part) for part in command], capture_output=True, text=True, errors="replace",
                              timeout=timeout, cwd=cwd or tmp_path, input=input, check=False,
                              env=clean_environment(HOME=str(tmp_path), **environment))
    return make


@pytest.fixture(scope="session")
def sanitized():
    """True where the binary is an instrumented one: sizes and times are another matter then."""
    return os.environ.get("EXEAT_SANITIZED") == "1"


@pytest.fixture(scope="session")
def bulk_size():
    """Octets of the large transfers."""
    return int(os.environ.get("EXEAT_BULK_MIB", "64")) << 20
