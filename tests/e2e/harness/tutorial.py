"""Runs what a tutorial shows: files are written, commands run in one shell, their output is held against the page."""
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

FILE = re.compile(r"<!-- file: (\S+) -->")


@dataclass
class Step:
    """A file to write (`name`), or a command with the lines that it must print."""
    line: int
    text: str
    name: str = ""
    shown: list[str] = field(default_factory=list)


def steps_of(page):
    """`<!-- file: NAME -->` in front of a fenced block makes that file; a block of `console` is commands behind `$ `
    (lines that end in a backslash go on, as in the shell) with their output."""
    steps, name, block, opened = [], "", None, ""
    for number, line in enumerate(page.splitlines(), 1):
        if block is None:
            if found := FILE.search(line):
                name = found[1]
            elif line.startswith("```"):
                block, opened = [], line[3:].strip()
                if name:
                    steps.append(Step(number, "", name))
            continue
        if line.startswith("```"):
            if name:
                steps[-1].text = "\n".join(block) + "\n"
            block, name = None, ""
            continue
        block.append(line)
        if name or opened != "console":
            continue
        if line.startswith("$ "):
            steps.append(Step(number, line[2:]))
        elif steps[-1].text.endswith("\\"):
            steps[-1].text += "\n" + line
        else:
            steps[-1].shown.append(line)
    return steps


def matches(shown, printed):
    """A line `...` stands for any number of lines, `...` within a line for anything in it. Nothing shown: not looked at."""
    pattern = ""
    for line in shown:
        if line == "...":
            pattern += r"(?:[^\n]*\n)*"
        else:
            pattern += r"[^\n]*".join(re.escape(part) for part in line.split("...")) + r"\n"
    return not shown or re.fullmatch(pattern, printed) is not None


class Shell:
    def __init__(self, folder, binary, replaced):
        path = folder / "bin"
        path.mkdir()
        (path / "exeat").symlink_to(binary)
        environment = {"PATH": f"{path}:{os.environ['PATH']}", "HOME": str(folder), "LC_ALL": "C.UTF-8", "TERM": "dumb",
                       **{key: value for key, value in os.environ.items() if key.endswith("SAN_OPTIONS")}}
        self.folder, self.replaced = folder / "work", replaced
        self.folder.mkdir()
        self.shell = subprocess.Popen(["/bin/bash", "--norc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, cwd=self.folder, env=environment, text=True)

    def localized(self, text):
        for old, new in self.replaced.items():
            text = text.replace(old, new)
        return text

    def run(self, command):
        mark = "<<<end of a step>>>"
        self.shell.stdin.write(f"{self.localized(command)}\nstatus=$?; echo '{mark}'; (exit $status)\n")
        self.shell.stdin.flush()
        printed = ""
        for line in self.shell.stdout:
            if line.endswith(mark + "\n"):
                return printed + line[:-len(mark) - 1]
            printed += line
        raise AssertionError(f"the shell ended: {printed}")

    def write(self, name, text):
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.localized(text))

    def close(self):
        self.shell.stdin.write("kill $(jobs -p) 2>/dev/null; wait; exit\n")
        self.shell.stdin.close()
        self.shell.wait(timeout=60)


def play(page: Path, folder: Path, binary: str, replaced: dict[str, str]):
    """Runs the page; an AssertionError names the first line whose output is another."""
    shell = Shell(folder, binary, replaced)
    try:
        for step in steps_of(page.read_text()):
            if step.name:
                shell.write(step.name, step.text)
                continue
            printed = shell.run(step.text)
            shown = [shell.localized(line) for line in step.shown]
            assert matches(shown, printed), (f"{page.name}:{step.line}: $ {step.text}\n--- shown\n" + "\n".join(shown) +
                                             f"\n--- printed\n{printed}")
    finally:
        shell.close()
