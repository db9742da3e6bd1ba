"""Completion scripts in the shells that read them, and man pages under the programs that set them."""
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.proxy import BINARY, run_exeat
from harness.shell import Shell


def output_of(*arguments):
    done = run_exeat(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def commands():
    """The listed subcommands, from the reference page."""
    return re.findall(r"^## exeat (\S+)$", output_of("docs", "command-line"), re.M)


def flags(command):
    """The flags of a subcommand as its --help has them."""
    return set(re.findall(r"^\s+(?:-h,)?(--[a-z-]+)", output_of(command, "--help"), re.M))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A directory with the scripts and with files to complete."""
    path = tmp_path_factory.mktemp("home")
    for shell in ("bash", "zsh", "fish"):
        (path / f"completion.{shell}").write_text(output_of("completion", shell))
    (path / "bin").mkdir()
    (path / "bin/exeat-a-tool").touch(mode=0o755)
    (path / "my policy.yaml").touch()
    (path / "exeat.yaml").touch()
    (path / "sub-directory").mkdir()
    return path


# bash: the function, driven as readline drives it


def bash_reply(home, *words):
    """COMPREPLY for `exeat WORDS...` with the cursor behind the last, the words as readline splits them."""
    script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _exeat; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "--norc", "-c", script, "bash", home / "completion.bash", "exeat", *words],
                          capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    return set(done.stdout.split())


def test_bash_commands_and_flags(home):
    assert bash_reply(home, "") == set(commands())
    assert bash_reply(home, "--") == {"--help", "--version"}
    for command in commands():
        assert bash_reply(home, command, "--") == flags(command), command


@pytest.mark.parametrize("words, reply", [
    (["ch"], {"check"}),
    (["lint", "--fail-on", ""], {"low", "medium", "high", "never"}),
    (["check", "--format", "j"], {"json"}),
    (["check", "--format", "=", "j"], {"json"}),
    (["lint", "--fail-on", "="], {"low", "medium", "high", "never"}),
    (["check", "--format=j"], {"--format=json"}),  # COMP_WORDBREAKS without =
    (["lint", "--format", "json", "--fail-on", "m"], {"medium"}),
    (["lint", "--format", "=", "json", "--fail-on", "=", "m"], {"medium"}),
    (["check", "--phase", ""], set()),
    (["check", "--phase", "agent", "--fo"], {"--format"}),
    (["check", "https", ":", "//x/", "--js"], {"--json"}),
    (["check", "--", "--js"], set()),
    (["completion", ""], {"bash", "zsh", "fish"}),
    (["completion", "bash", ""], set()),
    (["man", "ch"], {"check"}),
    (["version", ""], set()),
    (["no-such-command", "--"], set()),
    (["docs", ""], set()),
    (["connect", "--unix", "a.sock", "--", "mandb-no-such"], set()),
])
def test_bash_words(home, words, reply):
    assert bash_reply(home, *words) == reply


def test_bash_offers_programs(home):
    assert "env" in bash_reply(home, "connect", "--unix", "a.sock", "--", "env")


# bash and zsh: on a terminal


@pytest.fixture(scope="module", params=["bash", "zsh"])
def shell(request, home):
    running = Shell(request.param, home, f"PATH={home}/bin:$PATH; source {home}/completion.{request.param}")
    yield running
    running.close()


def test_a_terminal_lists_commands_and_words(shell):
    assert set(commands()) <= set(shell.complete("exeat ")[1])
    assert {"text", "json", "markdown", "sarif"} <= set(shell.complete("exeat lint --format ")[1])
    assert flags("check") <= set(shell.complete("exeat check --")[1])


@pytest.mark.parametrize("typed, becomes", [
    ("exeat ch", "exeat check "),
    ("exeat lint --require-o", "exeat lint --require-owner "),
    ("exeat lint --format=sa", "exeat lint --format=sarif "),
    ("exeat lint --format sa", "exeat lint --format sarif "),
    ("exeat completion z", "exeat completion zsh "),
    ("exeat man rep", "exeat man report "),
    ("exeat serve --config ex", "exeat serve --config exeat.yaml "),
    ("exeat serve --config=ex", "exeat serve --config=exeat.yaml "),
    ("exeat serve --policy my", "exeat serve --policy my\\ policy.yaml "),
    ("exeat report ex", "exeat report exeat.yaml "),
    ("exeat man --all su", "exeat man --all sub-directory/"),
    ("exeat check --phase ex", "exeat check --phase ex"),
    ("exeat check ex", "exeat check ex"),
    ("exeat connect --unix x -- exeat-a-to", "exeat connect --unix x -- exeat-a-tool "),
    ("exeat connect --unix=x -- exeat-a-tool ex", "exeat connect --unix=x -- exeat-a-tool exeat.yaml "),
])
def test_a_terminal_completes(shell, typed, becomes):
    assert shell.complete(typed)[0] == becomes


def test_zsh_autoloads_the_installed_file(home, tmp_path):
    (tmp_path / "_exeat").write_text(output_of("completion", "zsh"))
    running = Shell("zsh", home, f"fpath=({tmp_path} $fpath); compinit -u -D")
    try:
        assert running.complete("exeat ch")[0] == "exeat check "
        assert running.complete("exeat check --meth")[0] == "exeat check --method="
    finally:
        running.close()


# fish


def fish_reply(home, line):
    """What fish offers for a line, without the descriptions."""
    done = subprocess.run(["fish", "--no-config", "-c", f"source completion.fish; complete -C '{line}'"], cwd=home,
                          capture_output=True, text=True, check=True, timeout=60,
                          env={"PATH": "/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C.UTF-8"})
    assert done.stderr == ""
    return {reply.split("\t")[0] for reply in done.stdout.splitlines()}


def test_fish(home):
    assert fish_reply(home, "exeat ") == set(commands())
    assert fish_reply(home, "exeat --") == {"--help", "--version"}
    for command in commands():
        assert fish_reply(home, f"exeat {command} --") == flags(command), command
    assert fish_reply(home, "exeat lint --fail-on ") == {"low", "medium", "high", "never"}
    assert fish_reply(home, "exeat check --format=j") == {"--format=json"}
    assert fish_reply(home, "exeat explain check --json --f") == {"--format"}
    assert fish_reply(home, "exeat check --phase ") == set()
    assert fish_reply(home, "exeat check ") == set()
    assert fish_reply(home, "exeat completion ") == {"bash", "zsh", "fish"}
    assert "exeat.yaml" in fish_reply(home, "exeat serve --config ")
    assert "exeat.yaml" in fish_reply(home, "exeat report ")
    assert fish_reply(home, "exeat man --all s") == {"sub-directory/"}
    assert "env" in fish_reply(home, "exeat connect --unix x -- en")


# man


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    path = tmp_path_factory.mktemp("man1")
    output_of("man", "--all", path)
    return path


def test_every_command_has_a_page(pages):
    assert {page.name for page in pages.iterdir()} == {"exeat.1"} | {f"exeat-{name}.1" for name in commands()}
    assert (pages / "exeat-check.1").read_text() == output_of("man", "check")
    assert (pages / "exeat.1").read_text() == output_of("man")


def test_pages_are_set_without_a_warning(pages):
    for page in sorted(pages.iterdir()):
        groff = subprocess.run(["groff", "-ww", "-man", "-Tutf8", "-rLL=80n", page], capture_output=True, text=True,
                               timeout=60)
        assert (groff.returncode, groff.stderr) == (0, ""), page.name
        text = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", groff.stdout)
        for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "SEE ALSO"):
            assert re.search(rf"^{section}$", text, re.M), (page.name, section)
        for flag in flags(page.stem.removeprefix("exeat-")) if page.stem != "exeat" else {"--help", "--version"}:
            assert re.search(rf"^ +{flag}( |$)", text, re.M), (page.name, flag)


def test_a_page_as_man_shows_it(pages):
    page = subprocess.run(["man", "--warnings", "-l", pages / "exeat-check.1"], capture_output=True, text=True, timeout=60,
                          env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANPAGER": "cat"})
    assert (page.returncode, page.stderr) == (0, "")
    assert "exeat-check - say whether destinations are allowed, and why" in page.stdout
    assert re.search(r"^ +1 +no$", page.stdout, re.M), page.stdout


def test_errors():
    assert run_exeat("completion", "tcsh").returncode == 2
    assert run_exeat("completion").returncode == 2
    assert run_exeat("man", "no-such-command").returncode == 2
    assert run_exeat("man", "check", "--all", "/tmp").returncode == 2
    done = run_exeat("man", "--all", "/no/such/directory")
    assert done.returncode == 2 and "/no/such/directory/exeat.1: No such file or directory" in done.stderr
    done = subprocess.run(f"{BINARY} man >/dev/full", shell=True, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, "a page that could not be written is an error"


def test_what_is_installed(tmp_path):
    root = Path(os.environ.get("EXEAT_ROOT", Path(__file__).parents[2]))
    subprocess.run([root / "tools/install", BINARY, tmp_path / "stage", "/usr"], check=True, timeout=60)
    installed = {str(path.relative_to(tmp_path / "stage/usr")) for path in tmp_path.rglob("*") if path.is_file()}
    assert installed == {"bin/exeat", "share/bash-completion/completions/exeat", "share/zsh/site-functions/_exeat",
                         "share/fish/vendor_completions.d/exeat.fish", "share/man/man1/exeat.1",
                         *(f"share/man/man1/exeat-{name}.1" for name in commands())}


def test_the_shells_are_there():
    """They are in tools/packages.txt: nothing above is skipped."""
    assert all(shutil.which(name) for name in ("bash", "zsh", "fish", "man", "groff"))
