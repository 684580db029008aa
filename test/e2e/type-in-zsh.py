"""Types into an interactive zsh, which completes nothing without a terminal: type-in-zsh.py SCRIPT TYPED...

Prints what the terminal shows after the tabulator key, for each of what is typed.
"""

import os
import pty
import select
import sys


def read(terminal, quiet=1.0):
    """All that comes until nothing comes."""
    shown = b""
    while select.select([terminal], [], [], quiet if shown else 10)[0]:
        shown += os.read(terminal, 65536)
    return shown.decode()


process, terminal = pty.fork()
if process == 0:
    os.environ.update(TERM="dumb", COLUMNS="200", PS1="> ")
    os.execvp("zsh", ["zsh", "-f", "-i"])
os.write(terminal, f"autoload -U compinit; compinit -u -D; source {sys.argv[1]}\n".encode())
read(terminal)
for typed in sys.argv[2:]:
    os.write(terminal, f"{typed}\t".encode())
    print(read(terminal))
    os.write(terminal, b"\x15")
    read(terminal)
os.kill(process, 9)
