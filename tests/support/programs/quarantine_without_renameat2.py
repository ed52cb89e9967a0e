"""Seal and restore while a seccomp filter makes renameat2(2) fail with EINVAL, as on NFS.

Argument: a directory.  Prints one line of JSON.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path

from hashwacht.platform.syscalls import rename_no_replace
from hashwacht.quarantine.age import generate_key_pair
from hashwacht.quarantine.failures import ActionFailure
from hashwacht.quarantine.record import EntryRecord
from hashwacht.quarantine.vault import Vault
from support.hostile.refused_calls import refuse_renameat2
from support.vaults import Snapshot, dress, judge, names, restore, seal


def main(home: Path) -> dict[str, object]:
    """Seal, restore, and restore to an occupied name."""
    site, keys = home / "site", generate_key_pair()
    site.mkdir()
    vault, path = Vault(home / "vault", [keys.public]), site / "picture"
    path.write_bytes(b"content")
    dress(path)
    before = Snapshot.of(path)
    refuse_renameat2()
    try:
        rename_no_replace(-1, b"a", -1, b"b")
    except OSError as error:
        assert error.errno == errno.EINVAL, error  # noqa: PT017  # else the filter does nothing
    sealed = seal(vault, path)
    removed = not path.exists()
    path.write_bytes(b"taken")
    result = restore(vault, sealed.id, [keys.secret], who="me")
    path.unlink()
    restored = restore(vault, sealed.id, [keys.secret], who="me")
    same = Snapshot.of(path) == before
    fd, _ = judge(path)
    back = vault.quarantine(fd, bytes(path), "0" * 64, {})
    os.close(fd)
    return {
        "removed": removed,
        "occupied": result.reason if isinstance(result, ActionFailure) else None,
        "restored": isinstance(restored, EntryRecord) and same,
        "back": isinstance(back, ActionFailure) and Snapshot.of(path) == before,
        "names": names(site),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))))
