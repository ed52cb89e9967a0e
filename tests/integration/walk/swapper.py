"""The attacker: exchanges names as fast as it can until its standard input is closed.

Arguments: the directory ``play`` with ``file*`` and ``dir*``, and the directory ``swap`` beside it
with what is put in their place under the same names.  Writes one line when it has begun.
"""

import ctypes
import itertools
import os
import select
import sys

RENAME_EXCHANGE = 2  # renameat2(2); not in the os module


def main() -> None:
    """Exchange until told to stop."""
    play, swap = (os.open(path, os.O_RDONLY) for path in sys.argv[1:])
    names = sorted(os.fsencode(entry.name) for entry in os.scandir(play))
    libc = ctypes.CDLL(None, use_errno=True)
    for turn in itertools.count():
        for name in names:
            if libc.renameat2(play, name, swap, name, RENAME_EXCHANGE):
                raise OSError(ctypes.get_errno(), "renameat2")
        vanish(play, turn)
        if turn == 0:
            os.write(1, b"begun\n")
        if select.select([sys.stdin], [], [], 0)[0]:
            return


def vanish(play: int, turn: int) -> None:
    """Make files and directories come and go."""
    name = f"gone{turn % 7}"
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=play))
    os.mkdir(f"{name}.d", dir_fd=play)
    os.rename(name, f"{name}.moved", src_dir_fd=play, dst_dir_fd=play)
    os.rmdir(f"{name}.d", dir_fd=play)
    os.unlink(f"{name}.moved", dir_fd=play)


if __name__ == "__main__":
    main()
