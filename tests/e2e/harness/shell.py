"""A bash or zsh on a terminal of its own, typed at: what completion makes of a line."""
import os
import pty
import re
import select
import signal
import time

PATIENCE = 60  # seconds until a shell that says nothing counts as broken
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")

BASH = r"""
PS1='ready> '; PROMPT_COMMAND=
bind 'set show-all-if-ambiguous on'; bind 'set page-completions off'; bind 'set completion-query-items 0'
bind 'set enable-bracketed-paste off'; bind 'set colored-stats off'
bind -x '"\C-x\C-b": echo "LINE<$READLINE_LINE>"'
"""
ZSH = r"""
PS1='ready> '; PS2=; RPS1=; LISTMAX=100000; unsetopt zle_bracketed_paste prompt_sp 2>/dev/null
unset zle_bracketed_paste
autoload -U compinit; compinit -u -D
setopt auto_list no_beep no_list_ambiguous
say_line() { print -r -- "LINE<$BUFFER>" }
zle -N say_line; bindkey '^X^B' say_line
"""


class Shell:
    """Shell("zsh", home, "source script"): ready to be typed at. Ends by close()."""

    def __init__(self, name, home, setup, path=None):
        rc = home / f"{name}.rc"
        rc.write_text((BASH if name == "bash" else ZSH) + setup + "\nprintf 'set%s\\n' -up-done\n")
        command = {"bash": ["bash", "--noprofile", "--norc", "-i"], "zsh": ["zsh", "-f", "-i"]}[name]
        environment = {"PATH": path or os.environ["PATH"], "HOME": str(home), "TERM": "xterm", "LC_ALL": "C.UTF-8",
                       "INPUTRC": "/dev/null"}
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(home)
            os.execvpe(command[0], command, environment)
        self.seen = ""
        self.type(f"stty cols 500 rows 500; source {rc}\n")
        self.wait_for(r"set-up-done")

    def type(self, keys):
        os.write(self.terminal, keys.encode())

    def wait_for(self, pattern):
        """What the shell wrote up to the match of `pattern`, and the match."""
        end = time.monotonic() + PATIENCE
        while True:
            found = re.search(pattern, self.seen)
            if found:
                before, self.seen = self.seen[:found.start()], self.seen[found.end():]
                return before, found
            ready, _, _ = select.select([self.terminal], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"nothing like {pattern} in {self.seen!r}")
            self.seen = ESCAPES.sub("", self.seen + os.read(self.terminal, 65536).decode(errors="replace"))

    def complete(self, line):
        """(the line after TAB, the words of the list that was shown) for a line that is typed in whole."""
        self.type(line + "\t\x18\x02")
        shown, found = self.wait_for(r"LINE<([^>]*)>")
        self.type("\x15printf 'next%s\\n' -please\n")
        self.wait_for(r"next-please\s+ready> ")
        return found[1], shown.split()

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.close(self.terminal)
        os.waitpid(self.pid, 0)
