"""Types into an interactive zsh, which completes nothing without a terminal: type-in-zsh.py SCRIPT TYPED...

Prints what the terminal shows after the tabulator key, for each of what is typed. A key of its own makes zsh say when it is done
with the keys before, so a busy machine shows the same. It says so without leaving the line editor, which would drop keys that come meanwhile.
"""

import os
import pty
import sys

DONE_KEY = b"\x18d"
DONE = b"<done>"
SETUP = """autoload -U compinit; compinit -u -D; source {script}
said-done() {{ print -r -- '<''done>' > $TTY }}; zle -N said-done; bindkey '^Xd' said-done
"""


def shown_after(terminal, keys):
    """All that the terminal shows until zsh is done with these keys."""
    os.write(terminal, keys + DONE_KEY)
    shown = b""
    while DONE not in shown:
        shown += os.read(terminal, 65536)
    return shown.split(DONE)[0].decode()


process, terminal = pty.fork()
if process == 0:
    os.environ.update(TERM="dumb", COLUMNS="200", PS1="")
    os.execvp("zsh", ["zsh", "-f", "-i"])
shown_after(terminal, SETUP.format(script=sys.argv[1]).encode())
for typed in sys.argv[2:]:
    print(shown_after(terminal, f"{typed}\t".encode()))
    shown_after(terminal, b"\x15")
os.kill(process, 9)
