"""Swap pairs of files as fast as possible until the input ends.

Arguments: a directory with files ``a*``, each with a ``b*`` of the same number, and ``squat`` to
occupy a name as soon as it is free.  Prints one line after the first round.  Only the pairs of the
highest numbers are swapped.
"""

import ctypes
import os
import select
import sys

RENAME_EXCHANGE = 2  # renameat2(2); not in the os module


def main() -> None:
    """Swap files until the input ends."""
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
    """Return the numbers of the newest pairs."""
    names = [os.fsencode(entry.name) for entry in os.scandir(play)]
    return sorted(int(name[1:]) for name in names if name[:1] == b"a" and name[1:].isdigit())[
        -most:
    ]


def take(play: int, name: bytes) -> None:
    """Create a file under a name that is free."""
    try:
        fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, dir_fd=play)
    except FileExistsError:
        return
    os.write(fd, b"squatter")
    os.close(fd)


if __name__ == "__main__":
    main()
