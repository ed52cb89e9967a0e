"""Swap the names in two directories as fast as possible until the input ends.

Arguments: the directory ``play`` with ``file*`` and ``dir*``, and the directory ``swap`` with the
replacements under the same names.  Prints one line after the first round.
"""

import ctypes
import itertools
import os
import select
import sys

RENAME_EXCHANGE = 2  # renameat2(2); not in the os module


def main() -> None:
    """Swap names until the input ends."""
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
    """Create and remove files and directories."""
    name = f"gone{turn % 7}"
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=play))
    os.mkdir(f"{name}.d", dir_fd=play)
    os.rename(name, f"{name}.moved", src_dir_fd=play, dst_dir_fd=play)
    os.rmdir(f"{name}.d", dir_fd=play)
    os.unlink(f"{name}.moved", dir_fd=play)


if __name__ == "__main__":
    main()
