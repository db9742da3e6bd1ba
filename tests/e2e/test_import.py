"""`exeat import`: what the shell sees; what the formats mean is tested beside the code."""
import pytest

from harness.proxy import run_exeat

SQUID = """acl good dstdomain .corp.example
http_access allow good
http_access deny all
"""


def test_what_it_prints_is_a_policy(tmp_path):
    file = tmp_path / "squid.conf"
    file.write_text(SQUID)
    done = run_exeat("import", "--from", "squid", file)
    assert done.returncode == 0 and "1 entries mean" not in done.stdout and "2 entries mean the same, 0 differ" in done.stderr
    policy = tmp_path / "policy.yaml"
    policy.write_text(done.stdout)
    assert run_exeat("test", "--policy", policy, "--require").returncode == 0
    assert run_exeat("check", "--policy", policy, "--phase", "agent", "https://a.b.corp.example/").returncode == 0
    assert run_exeat("check", "--policy", policy, "--phase", "agent", "https://example.org/").returncode == 1
    again = run_exeat("import", "--from", "squid", "--phase", "setup", "-", input=SQUID)
    assert "  setup:" in again.stdout and "standard input" in again.stdout


def test_lists_in_files_are_read_beside_the_file(tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "good").write_text("a.example # why\n\n.b.example\n")
    file = tmp_path / "squid.conf"
    file.write_text('acl good dstdomain "lists/good"\nacl gone dstdomain "lists/gone"\nhttp_access allow good\n'
                    'http_access allow gone\nhttp_access deny all\n')
    done = run_exeat("import", "--from", "squid", file)
    assert done.returncode == 1 and 'host: a.example' in done.stdout and '"**.b.example"' in done.stdout
    assert "lists/gone cannot be read" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("--from", "squid"), ("--from", "nosuch", "x"), ("--from", "squid", "/nonexistent"),
                                       ("--from", "squid", "/"), ("--from", "smokescreen", "/dev/null")])
def test_wrong_usage_is_2(arguments):
    done = run_exeat("import", *arguments)
    assert done.returncode == 2 and done.stderr and not done.stdout
