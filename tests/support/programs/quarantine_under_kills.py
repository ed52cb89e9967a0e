"""Seal and restore files under random kills, and check after each that nothing is lost.

Arguments: an empty directory, the number of kills, and the longest life in seconds.  After every
kill the next process recovers and checks.  Prints one line of JSON: the number of kills by outcome
of the recovery, and how often files moved between their place and the vault.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from hashwacht.quarantine.age import generate_key_pair
from hashwacht.quarantine.record import EntryRecord, EntryState
from hashwacht.quarantine.vault import Vault
from support.vaults import Snapshot, dress, names, restore, seal

KEYS = generate_key_pair()
FILES = 6
LONGEST_LIFE = 0.3
"""The upper limit of a life in seconds, for a machine that is slow to begin an action."""


def work(vault: Vault, paths: list[Path], chance: random.Random) -> None:
    """Seal and restore files in an endless loop."""
    while True:
        path = chance.choice(paths)
        if path.exists():
            seal(vault, path)
        else:
            [id_] = sealed(vault, path)
            assert isinstance(restore(vault, id_, [KEYS.secret], who="me"), EntryRecord)


def sealed(vault: Vault, path: Path) -> list[str]:
    """Return the entries that hold the file."""
    records = [record for record in vault.records() if record.state is EntryState.SEALED]
    return [record.id for record in records if record.path == bytes(path)]


def look(vault: Vault, looks: dict[Path, Snapshot]) -> set[Path]:
    """Check that every file is intact in exactly one place; return those in the vault."""
    away = set()
    for path, before in looks.items():
        entries = sealed(vault, path)
        if path.exists():
            assert Snapshot.of(path) == before
            assert entries == []
        else:
            assert len(entries) == 1, (path, entries)
            away.add(path)
    site = next(iter(looks)).parent
    assert names(site) == sorted(path.name for path in looks if path not in away)
    assert [finding for finding in vault.verify() if finding.fault] == []
    return away


def main(home: Path, kills: int, life: float) -> dict[str, int]:
    """Kill, recover and check repeatedly."""
    site, chance, counts = home / "site", random.Random(20261123), Counter[str]()
    site.mkdir(parents=True)
    vault, looks = Vault(home / "vault", [KEYS.public]), {}
    for number in range(FILES):
        path = site / f"picture{number}"
        path.write_bytes(b"%d" % number * 10**number)
        dress(path)
        looks[path] = Snapshot.of(path)
    away: set[Path] = set()
    while counts["kills"] < kills or min(counts["back"], counts["sealed"]) < kills / 20:
        assert counts["kills"] < 5 * kills, counts
        counts["kills"] += 1
        ready, begun = os.pipe()
        child = os.fork()
        if not child:
            os.write(begun, b"!")
            work(vault, list(looks), random.Random(chance.random()))
        os.read(ready, 1)
        os.close(ready)
        os.close(begun)
        time.sleep(chance.uniform(0, life))
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        outcomes = vault.recover()
        counts.update(str(result.outcome) for result in outcomes)
        counts["between acts"] += not outcomes
        before, away = away, look(vault, looks)
        counts["moved"] += len(before ^ away)
        if not outcomes and before == away:  # killed before any action: a slow machine
            life = min(1.05 * life, LONGEST_LIFE)
    return dict(counts)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
