"""The attacker: exchanges names as fast as it can until its standard input is closed.

Arguments: a directory with files ``a*``, each with a ``b*`` of the same number, and ``squat`` if a
name that has become free is to be taken at once.  Writes one line when it has begun.  It plays
with the pairs of the highest numbers.
"""

import ctypes
import os
import select
import sys

RENAME_EXCHANGE = 2  # renameat2(2); not in the os module


def main() -> None:
    """Exchange until told to stop."""
    play = os.open(sys.argv[1], os.O_RDONLY)
    squat = "squat" in sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    begun = False
    while True:
        for number in numbers(play, 1 if squat else 4):
            first, second = b"a%d" % number, b"b%d" % number
            for _ in range(100):
                if libc.renameat2(play, first, play, second, RENAME_EXCHANGE) and squat:
                    take(play, first)
                    take(play, second)
        if not begun:
            os.write(1, b"begun\n")
            begun = True
        if select.select([sys.stdin], [], [], 0)[0]:
            return


def numbers(play: int, most: int) -> list[int]:
    """Give the newest pairs."""
    names = [os.fsencode(entry.name) for entry in os.scandir(play)]
    return sorted(int(name[1:]) for name in names if name[:1] == b"a" and name[1:].isdigit())[
        -most:
    ]


def take(play: int, name: bytes) -> None:
    """Put something under a name if nothing has it."""
    try:
        fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, dir_fd=play)
    except FileExistsError:
        return
    os.write(fd, b"squatter")
    os.close(fd)


if __name__ == "__main__":
    main()
