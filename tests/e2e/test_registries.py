"""npm and apt against the registries that this machine is configured for, at whatever addresses they resolve to.

The hosts are read from the clients' own configuration, resolved here, and excepted by the very address where it is
special-purpose: the exception is part of what is tested.
"""
import glob
import ipaddress
import json
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from harness.origin import http_handler, response
from harness.proxy import loopback, policy_of

def addresses_of(host):
    try:
        return sorted({info[4][0] for info in socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)})
    except socket.gaierror:
        return []

def exceptions_for(hosts):
    return [{"cidr": f"{address}/32", "hosts": [host], "reason": "the registry of this machine"}
            for host in hosts for address in addresses_of(host)]

def rule(host, *ports):
    return {"host": host, "ports": list(ports), "reason": "the registry of this machine"}

@pytest.fixture
def system_exeat(exeat):
    """A proxy that resolves as this machine does."""
    return lambda policy: exeat(policy, {"dns": None})

@pytest.fixture(scope="module")
def registry():
    if not shutil.which("npm"):
        pytest.skip("no npm on this machine")
    url = urlsplit(subprocess.run(["npm", "config", "get", "registry"], capture_output=True, text=True,
                                  check=True).stdout.strip())
    if not addresses_of(url.hostname or ""):
        pytest.skip("the npm registry that this machine is configured for does not resolve")
    return url

def npm(run, proxy, tmp_path, registry, *arguments, **environment):
    project = tmp_path / "project"
    project.mkdir(exist_ok=True)
    (project / "package.json").write_text(json.dumps({"name": "t", "version": "1.0.0", "private": True}))
    real_home = Path(os.path.expanduser("~"))
    if (real_home / ".npmrc").exists():  # the machine's way to its registry (a CA file, a token)
        shutil.copy(real_home / ".npmrc", tmp_path / ".npmrc")
    return run("npm", *arguments, "--no-audit", "--no-fund", "--fetch-retries=0", f"--registry={registry.geturl()}",
               f"--cache={tmp_path / 'npm-cache'}", cwd=project, timeout=300,
               HTTPS_PROXY=proxy.url(), HTTP_PROXY=proxy.url(), **environment), project

def test_npm_install(system_exeat, run, tmp_path, registry):
    port = registry.port or (443 if registry.scheme == "https" else 80)
    proxy = system_exeat(policy_of(agent=[rule(registry.hostname, port)], addresses=exceptions_for([registry.hostname])))
    done, project = npm(run, proxy, tmp_path, registry, "install", "is-number@7.0.0")
    assert done.returncode == 0, done.stderr
    assert json.loads((project / "node_modules/is-number/package.json").read_text())["version"] == "7.0.0"
    assert proxy.logged(host=registry.hostname, verdict="allow")

def test_npm_install_denied(system_exeat, run, tmp_path, registry):
    proxy = system_exeat(policy_of())
    done, project = npm(run, proxy, tmp_path, registry, "install", "is-number@7.0.0")
    assert done.returncode != 0 and "403" in done.stderr, done.stderr
    assert not (project / "node_modules/is-number").exists()
    assert proxy.logged(host=registry.hostname)["reason"] == "no-rule"

def test_a_registry_at_a_special_address_needs_the_exception(system_exeat, run, tmp_path, registry):
    """Without `addresses` the guard refuses, and the log holds the very line to add."""
    if all(ipaddress.ip_address(a).is_global for a in addresses_of(registry.hostname)):
        pytest.skip("the registry of this machine has public addresses")
    port = registry.port or (443 if registry.scheme == "https" else 80)
    proxy = system_exeat(policy_of(agent=[rule(registry.hostname, port)]))
    done, _ = npm(run, proxy, tmp_path, registry, "view", "is-number", "version")
    assert done.returncode != 0
    record = proxy.logged(host=registry.hostname)
    assert record["reason"] == "address-forbidden"
    assert record["address"] in record["hint"] and registry.hostname in record["hint"]

def test_node_fetch_through_undici(system_exeat, exeat, run, ca, origin, tmp_path, registry):
    """undici's ProxyAgent, itself installed through the proxy."""
    port = registry.port or (443 if registry.scheme == "https" else 80)
    proxy = system_exeat(policy_of(agent=[rule(registry.hostname, port)], addresses=exceptions_for([registry.hostname])))
    done, project = npm(run, proxy, tmp_path, registry, "install", "undici@6")
    assert done.returncode == 0, done.stderr

    server = origin(http_handler(lambda request: response("hello\n")), ca.server_context("origin.corp.example"))
    local = exeat(policy_of(agent=[rule("origin.corp.example", server.port)], addresses=[loopback()]))
    script = project / "fetch.js"
    script.write_text("""
        const {fetch, ProxyAgent} = require('undici');
        const dispatcher = new ProxyAgent(process.argv[2]);
        (async () => { for (const url of process.argv.slice(3)) {
          try { const r = await fetch(url, {dispatcher}); console.log(r.status, (await r.text()).trim()); }
          catch (e) { let m = []; for (let c = e; c; c = c.cause) m.push(c.message); console.log('failed:', m.join(' | ')); }
        } process.exit(0); })();
        """)
    done = run("node", script, local.url(), f"https://origin.corp.example:{server.port}/",
               f"https://denied.corp.example:{server.port}/", NODE_EXTRA_CA_CERTS=str(ca.bundle))
    allowed, denied = done.stdout.splitlines()
    assert allowed == "200 hello", done.stderr
    assert denied.startswith("failed:") and "403" in denied, denied

# apt -----------------------------------------------------------------------------------------------------------------

def apt_sources():
    """The URLs of the first source that this machine's apt uses."""
    for path in sorted(glob.glob("/etc/apt/sources.list.d/*.sources")) + ["/etc/apt/sources.list"] + sorted(
            glob.glob("/etc/apt/sources.list.d/*.list")):
        if os.path.exists(path):
            text = Path(path).read_text(encoding="utf-8", errors="replace")
            urls = re.findall(r"^(?:URIs:\s*|deb\s+(?:\[[^\]]*\]\s+)?)(https?://\S+)", text, re.M)
            if urls:
                return urls
    return []

@pytest.fixture(scope="module")
def mirrors():
    if not shutil.which("apt-get"):
        pytest.skip("no apt on this machine")
    urls = [urlsplit(url) for url in apt_sources()]
    found = [url for url in urls if addresses_of(url.hostname)]
    if not found:
        pytest.skip("no apt mirror that this machine is configured for resolves")
    return found

def apt_download(run, proxy, tmp_path):
    folder = tmp_path / "apt"
    folder.mkdir(exist_ok=True)
    return run("apt-get", "-q", "-o", f"Acquire::http::Proxy={proxy.url()}", "-o",
               f"Acquire::https::Proxy={proxy.url()}", "-o", "Acquire::Retries=0", "-o", "APT::Sandbox::User=root",
               "download", "hostname", cwd=folder, timeout=300), folder

def mirror_rules(mirrors):
    return [rule(host, *ports) for host, ports in sorted({
        url.hostname: tuple(sorted({u.port or (443 if u.scheme == "https" else 80)
                                    for u in mirrors if u.hostname == url.hostname})) for url in mirrors}.items())]

def test_apt_get_download(system_exeat, run, tmp_path, mirrors):
    hosts = sorted({url.hostname for url in mirrors})
    proxy = system_exeat(policy_of(agent=mirror_rules(mirrors), addresses=exceptions_for(hosts)))
    done, folder = apt_download(run, proxy, tmp_path)
    assert done.returncode == 0, done.stderr
    package, = folder.glob("hostname_*.deb")
    assert run("dpkg-deb", "--field", package, "Package").stdout == "hostname\n"
    assert proxy.logged(verdict="allow")["host"] in hosts

def test_apt_get_download_denied(system_exeat, run, tmp_path, mirrors):
    proxy = system_exeat(policy_of())
    done, folder = apt_download(run, proxy, tmp_path)
    assert done.returncode == 100 and "403" in done.stderr and "egress-denied" in done.stderr, done.stderr
    assert list(folder.glob("*.deb")) == []
    assert proxy.logged(verdict="deny")["host"] in {url.hostname for url in mirrors}
