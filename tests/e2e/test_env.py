"""`exeat env`: what each shell makes of it, and that real clients then go through the proxy."""
import json
import os
import pty
import re
import shutil
import subprocess

import pytest

from harness.origin import http_handler, response
from harness.proxy import BINARY, SANITIZER, clean_environment, loopback, policy_of, run_exeat

HELLO = http_handler(lambda request: response("hello\n"))
PROXY = "http://127.0.0.1:3129"
SETTINGS = {"version": 1, "listeners": [{"address": "127.0.0.1:3129", "phase": "agent"},
                                        {"unix": "/run/exeat/set'up.sock", "phase": "setup"},
                                        {"address": "0.0.0.0:3131", "phase": "mcp",
                                         "identity": ["listener", {"source": [{"cidr": "10.0.0.0/8", "phase": "mcp"}]}]}]}
# What could end a quotation in one of the shells, or mean something in it.
ODD = "-Da='it is' -Db=\"$HOME `id` \\\\ %h\" 'x;y' ‘’ #no !! *"
NASTY = "-Dq='a' \"b\" $HOME `id` \\ \\' %h %% ; # ! * ~ ‘x’ é\t-Dz\n-Dline=2"


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "exeat.yaml"
    path.write_text(json.dumps(SETTINGS))
    return path


def env(*arguments, **environment):
    done = run_exeat("env", *arguments, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def environment_of(*command, base=None):
    """The variables that a command ends up with: it must run what stands behind it."""
    base = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", **(base or {})}
    done = subprocess.run([*command], capture_output=True, timeout=60, env=base, check=False)
    assert done.returncode == 0 and done.stderr == b"", done
    lines = done.stdout.decode().rstrip("\0").split("\0")
    return dict(line.split("=", 1) for line in lines if "=" in line)


def expected(existing=""):
    properties = ("-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=3129 -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=3129 "
                  "-Dhttp.nonProxyHosts=localhost|127.*|[::1]")
    return {**dict.fromkeys(["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
                             "npm_config_proxy", "npm_config_https_proxy", "CARGO_HTTP_PROXY", "GIT_CONFIG_VALUE_0"], PROXY),
            **dict.fromkeys(["no_proxy", "NO_PROXY", "npm_config_noproxy"], "localhost,127.0.0.1,::1"),
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.proxy", "NODE_USE_ENV_PROXY": "1",
            "JAVA_TOOL_OPTIONS": (existing + " " if existing else "") + properties}


def set_by(variables):
    return {name: value for name, value in variables.items() if name in expected() or name.startswith("GIT_")}


# Shells


@pytest.mark.parametrize("existing", ["", ODD, NASTY])
@pytest.mark.parametrize("shell", ["bash", "dash", "zsh", "sh"])
def test_posix_shells(config, shell, existing):
    base = {"JAVA_TOOL_OPTIONS": existing, "EXEAT": BINARY, "CONFIG": str(config)}
    script = 'set -eu; eval "$("$EXEAT" env --phase agent --shell bash --config "$CONFIG")"; exec env -0'
    assert set_by(environment_of(shell, "-c", script, base=base)) == expected(existing)


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_an_eval_without_quotes_sets_the_same(config, shell, tmp_path):
    """Its lines are joined by blanks then: a comment of # would hide all that follows."""
    script = f'cd {tmp_path}; eval $({BINARY} env --phase agent --shell bash --config {config}); exec env -0'
    assert set_by(environment_of(shell, "-c", script)) == expected()


@pytest.mark.parametrize("existing", ["", ODD, NASTY])
def test_fish(config, existing):
    script = f"{BINARY} env --phase agent --shell fish --config {config} | source; env -0"
    base = {"JAVA_TOOL_OPTIONS": existing}
    assert set_by(environment_of("fish", "--no-config", "-c", script, base=base)) == expected(existing)


def powershell_value(text):
    """A verbatim string as the language specification reads it: every quotation mark is doubled."""
    assert text[0] == text[-1] == "'"
    inner = text[1:-1]
    assert re.fullmatch("(?:[^'‘’‚‛]|['‘’‚‛]{2})*", inner), inner
    return re.sub("(['‘’‚‛])['‘’‚‛]", r"\1", inner)


@pytest.mark.parametrize("existing", ["", ODD, NASTY])
def test_powershell_by_its_rule(config, existing):
    text = env("--phase", "agent", "--shell", "powershell", "--config", config, JAVA_TOOL_OPTIONS=existing)
    found = re.findall(r"^\$\{env:(\w+)\} = ('.*?')$(?=\n\$|\n#|\n\Z)", text, re.M | re.S)
    assert {name: powershell_value(value) for name, value in found} == expected(existing)


def test_github(config, tmp_path):
    def parse(text):
        """As the runner reads the file: NAME=value, or NAME<<DELIMITER, lines, DELIMITER."""
        out, lines = {}, iter(text.split("\n"))
        for line in lines:
            if not line:
                continue
            equals, heredoc = line.find("="), line.find("<<")
            if heredoc >= 0 and (equals < 0 or heredoc < equals):
                name, delimiter = line.split("<<", 1)
                value = []
                while (one := next(lines)) != delimiter:
                    value.append(one)
                out[name] = "\n".join(value)
            else:
                assert equals > 0, line
                out[line[:equals]] = line[equals + 1:]
        return out
    for existing in ("", ODD, NASTY, "a\nEXEAT\nPATH=/evil"):
        text = env("--phase", "agent", "--shell", "github", "--config", config, JAVA_TOOL_OPTIONS=existing)
        assert parse(text) == expected(existing)
        assert ("<<" in text) == ("\n" in existing)


def test_docker(config):
    done = run_exeat("env", "--phase", "agent", "--shell", "docker", "--config", config)
    proxies = {"httpProxy": PROXY, "httpsProxy": PROXY, "noProxy": "localhost,127.0.0.1,::1"}
    assert json.loads(done.stdout) == {"proxies": {"default": proxies}}
    assert f"--build-arg http_proxy={PROXY}" in done.stderr
    assert "127.0.0.1 is the container itself" in done.stderr
    done = run_exeat("env", "--phase", "agent", "--shell", "docker", "--proxy", "http://exeat:3129")
    assert json.loads(done.stdout)["proxies"]["default"]["httpsProxy"] == "http://exeat:3129"
    assert "itself" not in done.stderr


def systemd_assignment(line):
    """Environment= as systemd.syntax(7) and systemd.exec(5) read it: one quoted word, C escapes, %% for %."""
    inner = re.fullmatch(r'Environment="((?:[^"\\]|\\.)*)"', line)[1]
    plain = re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r", "t": "\t"}.get(m[1], m[1]), inner)
    assert "%" not in plain.replace("%%", "")
    return plain.replace("%%", "%").split("=", 1)


def test_systemd(config, tmp_path):
    """Another environment than ours: JAVA_TOOL_OPTIONS of this one stays out."""
    text = env("--phase", "agent", "--shell", "systemd", "--config", config, JAVA_TOOL_OPTIONS="-Dx=1",
               EXEAT_TOKEN="unused-here-unused")
    assert text.startswith("[Service]\n")
    assert dict(map(systemd_assignment, re.findall("^Environment=.*", text, re.M))) == expected()
    if shutil.which("systemd-analyze"):
        (tmp_path / "t.service").write_text(text + "ExecStart=/bin/true\n")
        done = subprocess.run(["systemd-analyze", "verify", tmp_path / "t.service"], capture_output=True, text=True,
                              timeout=60, check=False)
        assert "Environment" not in done.stderr, done.stderr


def test_systemd_escapes_a_credential(tmp_path):
    text = env("--phase", "agent", "--shell", "systemd", "--proxy", PROXY, EXEAT_TOKEN='to%ken"\\$x')
    variables = dict(map(systemd_assignment, re.findall("^Environment=.*", text, re.M)))
    assert variables["https_proxy"] == "http://agent:to%25ken%22%5C%24x@127.0.0.1:3129"


# Which shell, which phase


@pytest.mark.parametrize("shell, line", [
    ("/bin/bash", "export https_proxy='"), ("/usr/bin/zsh", "export https_proxy='"), ("dash", "export https_proxy='"),
    ("/usr/bin/fish", "set -gx https_proxy '"), ("/usr/bin/pwsh", "${env:https_proxy} = '")])
def test_the_shell_comes_from_the_environment(shell, line):
    assert line in env("--phase", "agent", SHELL=shell)


def test_what_fails_fails_in_the_eval_too(config):
    """`eval ""` would succeed, and the job would go on without a proxy."""
    for arguments in (["--phase", "nope", "--config", config], ["--phase", "agent", "--config", "/no/such/file"],
                      ["--phase", "setup", "--config", config]):
        for shell in ("bash", "dash", "zsh"):
            script = f'eval "$({BINARY} env --shell bash {" ".join(map(str, arguments))})" || echo stopped'
            done = subprocess.run([shell, "-c", script], capture_output=True, text=True, timeout=60, check=False)
            assert done.stdout == "stopped\n" and "exeat env: " in done.stderr
        done = run_exeat("env", *arguments, "--shell", "powershell")
        assert (done.returncode, done.stdout) == (2, "throw 'exeat env failed'\n")
        for shell in ("github", "docker", "systemd"):
            done = run_exeat("env", *arguments, "--shell", shell)
            assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("shell", ["", "/bin/tcsh", "/opt/x/nu"])
def test_an_unknown_shell_is_an_error(shell):
    done = run_exeat("env", "--phase", "agent", SHELL=shell)
    assert done.returncode == 2 and "--shell" in done.stderr and "export" not in done.stdout


def test_errors(config):
    def error(*arguments, **environment):
        done = run_exeat("env", "--shell", "bash", *arguments, **environment)
        assert done.returncode == 2 and "proxy=" not in done.stdout
        return done.stderr
    assert "no listener serves the phase `agnet` (did you mean `agent`?); they serve agent, mcp, setup" in error(
        "--phase", "agnet", "--config", config)
    assert "a phase" in error("--phase", "Ag ent")
    assert r"exeat connect --unix '/run/exeat/set'\''up.sock' -- COMMAND" in error("--phase", "setup", "--config", config)
    assert "say with --proxy" in error("--phase", "mcp", "--config", config)
    assert "--proxy" in error("--phase", "agent", "--proxy", "127.0.0.1:3128")
    assert "--proxy" in error("--phase", "agent", "--proxy", "http://127.0.0.1:3128/path")
    assert "--proxy" in error("--phase", "agent", "--proxy", "socks5://127.0.0.1:3128")
    assert "command line" in error("--phase", "agent", "--proxy", "http://agent:secret@127.0.0.1:3128")
    assert "asks for no token" in error("--phase", "agent", "--config", config, "--token-file", "/dev/null")
    assert run_exeat("env").returncode == 2
    assert run_exeat("env", "--phase", "agent", "--shell", "tcsh").returncode == 2


def test_addresses(config):
    assert "export https_proxy='http://10.1.2.3:3131';" in env("--phase", "mcp", "--config", config, "--shell", "bash",
                                                               "--proxy", "http://10.1.2.3:3131")
    assert "export https_proxy='http://[fd00::1]:3131';" in env("--phase", "mcp", "--shell", "bash", "--proxy",
                                                                "http://[FD00::1]:3131/")


def test_git_configuration_that_is_there_stays():
    there = {"GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "a.b", "GIT_CONFIG_VALUE_0": "c", "GIT_CONFIG_KEY_1": "HTTP.proxy",
             "GIT_CONFIG_VALUE_1": "http://old:1"}
    text = env("--phase", "agent", "--shell", "bash", **there)
    assert "GIT_CONFIG_COUNT='2'" in text and "GIT_CONFIG_VALUE_1='http://127.0.0.1:3129'" in text
    assert "GIT_CONFIG_VALUE_0" not in text and "GIT_CONFIG_KEY_2" not in text
    text = env("--phase", "agent", "--shell", "bash", **{**there, "GIT_CONFIG_KEY_1": "x.y"})
    assert "GIT_CONFIG_COUNT='3'" in text and "GIT_CONFIG_KEY_2='http.proxy'" in text


def test_twice_is_the_same_as_once():
    script = f'eval "$({BINARY} env --phase agent --shell bash)"; '
    base = {"JAVA_TOOL_OPTIONS": "-Xmx1g"}
    assert set_by(environment_of("bash", "-c", script * 2 + "exec env -0", base=base)) == expected("-Xmx1g")


# Tokens


TOKEN = "exeat_t_0123456789abcdefghijABCDEFGHIJ0123456789abc"


@pytest.fixture
def credential_config(tmp_path):
    sha256 = json.loads(run_exeat("token", "--hash", "-", "--format", "json", input=TOKEN).stdout)["sha256"]
    path = tmp_path / "exeat.yaml"
    path.write_text(json.dumps({"version": 1, "listeners": [
        {"address": "127.0.0.1:3129", "identity": [{"credential": {"tokens": [{"sha256": sha256, "phase": "agent"}]}}]}]}))
    return path


def test_a_token_comes_from_a_file_or_a_variable(credential_config, tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    arguments = ["--phase", "agent", "--config", credential_config, "--shell", "bash"]
    url = f"http://agent:{TOKEN}@127.0.0.1:3129"
    text = env(*arguments, "--token-file", file)
    assert f"export https_proxy='{url}';" in text
    assert TOKEN not in re.search("JAVA_TOOL_OPTIONS=.*", text)[0] and "sends no token" in text
    assert text == env(*arguments, EXEAT_TOKEN=TOKEN) == env(*arguments, EXEAT_TOKEN="agent:" + TOKEN)

    done = run_exeat("env", *arguments)
    assert done.returncode == 2 and "--token-file" in done.stderr and done.stdout == "false;\n"
    done = run_exeat("env", *arguments, EXEAT_TOKEN="another-token-than-that")
    assert done.returncode == 2 and "none of those" in done.stderr and "another" not in done.stderr + done.stdout
    file.chmod(0o644)
    assert run_exeat("env", *arguments, "--token-file", file).returncode == 2
    assert run_exeat("env", "--phase", "setup", *arguments[2:], EXEAT_TOKEN=TOKEN).returncode == 2


def test_a_token_is_never_shown_on_a_terminal(credential_config):
    ours, theirs = pty.openpty()
    done = subprocess.run([BINARY, "env", "--phase", "agent", "--config", credential_config, "--shell", "bash"], stdout=theirs,
                          stderr=subprocess.PIPE, timeout=60, env=clean_environment(EXEAT_TOKEN=TOKEN), check=False)
    os.close(theirs)
    try:
        shown = os.read(ours, 4096)
    except OSError:  # nobody wrote anything
        shown = b""
    os.close(ours)
    assert done.returncode == 2 and b"this is a terminal" in done.stderr
    assert shown == b"" and TOKEN.encode() not in done.stderr
    assert not SANITIZER.search(done.stderr.decode())


def test_github_masks_a_token(credential_config):
    arguments = ["env", "--phase", "agent", "--config", credential_config, "--shell", "github"]
    assert run_exeat(*arguments, EXEAT_TOKEN=TOKEN, GITHUB_ACTIONS="true").stderr == f"::add-mask::{TOKEN}\n"
    assert TOKEN not in run_exeat(*arguments, EXEAT_TOKEN=TOKEN).stderr


# Clients


def test_clients_go_through(exeat, run, ca, origin):
    """One eval, and the clients that need nothing else ask the proxy; one refusal each in its log."""
    server = origin(HELLO, ca.server_context("origin.corp.example"))
    proxy = exeat(policy_of(agent=[{"host": "origin.corp.example", "ports": [server.port]}], addresses=[loopback()]))
    script = f'eval "$({BINARY} env --phase agent --shell bash --config {proxy.config_file})"; exec "$@"'
    url = f"https://origin.corp.example:{server.port}/"
    done = run("sh", "-c", script, "sh", "curl", "-sS", "--cacert", ca.bundle, url)
    assert done.stdout == "hello\n", done.stderr
    done = run("sh", "-c", script, "sh", "wget", "-qO-", "--ca-certificate", ca.bundle, url)
    assert done.stdout == "hello\n", done.stderr
    done = run("sh", "-c", script, "sh", "curl", "-sS", f"http://denied.corp.example:{server.port}/")
    assert "egress-denied" in done.stdout or "exeat blocked" in done.stdout
    proxy.logged(host="denied.corp.example", scheme="http")


def test_a_token_proves_the_phase(exeat, run, origin, ca):
    sha256 = json.loads(run_exeat("token", "--hash", "-", "--format", "json", input=TOKEN).stdout)["sha256"]
    server = origin(HELLO, ca.server_context("origin.corp.example"))
    proxy = exeat(policy_of(agent=[{"host": "origin.corp.example", "ports": [server.port]}], addresses=[loopback()]),
                  {"identity": {"agent": ["listener", {"credential": {"tokens": [{"sha256": sha256, "phase": "agent"}]}}]}})
    script = f'eval "$({BINARY} env --phase agent --shell bash --config {proxy.config_file})"; exec "$@"'
    done = run("sh", "-c", script, "sh", "curl", "-sS", "--cacert", ca.bundle,
               f"https://origin.corp.example:{server.port}/", EXEAT_TOKEN=TOKEN)
    assert done.stdout == "hello\n", done.stderr


def test_a_listener_with_tls_or_a_certificate(ca, tmp_path):
    """The URL says https, and standard error which tools can do that."""
    for name in ("chain.pem", "key.pem", "ca.pem"):
        (tmp_path / name).write_text("")
    tls = {"certificate": "chain.pem", "key": "key.pem"}
    (tmp_path / "exeat.yaml").write_text(json.dumps({"version": 1, "listeners": [
        {"address": "127.0.0.1:3129", "phase": "agent", "tls": tls},
        {"address": "127.0.0.1:3128", "phase": "setup", "tls": {**tls, "client_ca": "ca.pem"},
         "identity": ["listener", {"mtls": [{"san_dns": "ci.example", "phase": "setup"}]}]}]}))
    arguments = ["env", "--shell", "bash", "--config", tmp_path / "exeat.yaml", "--phase"]
    done = run_exeat(*arguments, "agent")
    assert "export https_proxy='https://127.0.0.1:3129';" in done.stdout and "speaks TLS" in done.stderr, done
    done = run_exeat(*arguments, "setup")
    assert "export https_proxy='https://127.0.0.1:3128';" in done.stdout and "certificate" in done.stderr, done
