"""Acts where renameat2(2) fails with EINVAL, as on NFS: a filter in the kernel sees to that.

Arguments: a directory.  Writes one line of JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import struct
import sys
from pathlib import Path

from hashwacht.act.age import make_key_pair
from hashwacht.act.refusal import Refusal
from hashwacht.act.restoring import Restored
from hashwacht.act.syscalls import rename_no_replace
from hashwacht.act.vault import Vault
from hashwacht.testing.vaults import Look, dress, judge, names, seal

NUMBERS = {"x86_64": 316, "aarch64": 276}
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF: load a word, jump if equal, return
EINVAL_NUMBER = 22
ALLOW, EINVAL = 0x7FFF0000, 0x00050000 | EINVAL_NUMBER
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2


def refuse_renameat2() -> None:
    """Have every renameat2 of this process fail."""
    code = b"".join(
        struct.pack("<HBBI", *each)
        for each in (
            (LOAD, 0, 0, 0),
            (EQUAL, 0, 1, NUMBERS[platform.machine()]),
            (RETURN, 0, 0, EINVAL),
            (RETURN, 0, 0, ALLOW),
        )
    )
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("@HP", 4, ctypes.addressof(buffer))
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(SECCOMP, FILTER, program, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def main(home: Path) -> dict[str, object]:
    """Seal, restore, and have a name taken meanwhile."""
    site, keys = home / "site", make_key_pair()
    site.mkdir()
    vault, path = Vault(home / "vault", [keys.public]), site / "picture"
    path.write_bytes(b"content")
    dress(path)
    before = Look.at(path)
    refuse_renameat2()
    try:
        rename_no_replace(-1, b"a", -1, b"b")
    except OSError as error:
        assert error.errno == EINVAL_NUMBER, error  # noqa: PT017  # else the filter does nothing
    sealed = seal(vault, path)
    gone = not path.exists()
    path.write_bytes(b"taken")
    taken = vault.restore(sealed.id, [keys.secret], who="me")
    path.unlink()
    restored = vault.restore(sealed.id, [keys.secret], who="me")
    same = Look.at(path) == before
    fd, _ = judge(path)
    back = vault.quarantine(fd, bytes(path), "0" * 64, {})
    os.close(fd)
    return {
        "gone": gone,
        "taken": taken.reason if isinstance(taken, Refusal) else None,
        "restored": isinstance(restored, Restored) and same,
        "back": isinstance(back, Refusal) and Look.at(path) == before,
        "names": names(site),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))))
