"""Sealing files whose owner swaps their names as fast as possible."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hashwacht.quarantine.age import KeyPair
from hashwacht.quarantine.failures import FailureReason
from hashwacht.quarantine.record import EntryRecord
from hashwacht.quarantine.vault import Vault
from support.attacker import attack
from support.processes import PROGRAMS
from support.vaults import judge, names, restore

LIMIT = 120.0
"""Seconds until a race that ought to happen hundreds of times must have happened."""

SWAPPER = PROGRAMS / "swap_file_pairs.py"


def furnish(site: Path, pairs: int) -> list[Path]:
    """Make ``a0`` with listed content, ``b0`` with harmless content, etc.; return each ``a``."""
    return [pair(site, number) for number in range(pairs)]


def pair(site: Path, number: int) -> Path:
    """Make one pair, the listed file last; return its path."""
    (site / f"b{number}").write_bytes(b"innocent %d" % number)
    (site / "new").write_bytes(b"bad %d" % number)
    return (site / "new").rename(site / f"a{number}")


def contents(site: Path) -> Counter[bytes]:
    """Count every content below, including staging directories."""
    return Counter(path.read_bytes() for path in site.rglob("*") if path.is_file())


@contextmanager
def judged(path: Path) -> Iterator[tuple[int, str] | None]:
    """Judge the file that has the name at this moment; return None if it is harmless."""
    try:
        fd, key = judge(path)
    except FileNotFoundError:
        yield None
        return
    try:
        yield (fd, key) if os.pread(fd, 3, 0) == b"bad" else None
    finally:
        os.close(fd)


def quarantine(vault: Vault, path: Path, counts: Counter[str]) -> EntryRecord | None:
    """Seal the file that has the name if it is listed, and count the result."""
    with judged(path) as bad:
        if bad is None:
            return None
        result = vault.quarantine(bad[0], bytes(path), bad[1], {})
    counts["attempts"] += 1
    if isinstance(result, EntryRecord):
        counts["sealed"] += 1
        return result
    assert result.reason in (FailureReason.CHANGED, FailureReason.GONE), result
    counts["noticed before"] += "has its name" in result.detail
    counts["noticed after"] += "got its name" in result.detail
    return None


def put_back(vault: Vault, secret: str, sealed: EntryRecord, *free: Path) -> None:
    """Restore to the free name of a pair."""
    answers = [restore(vault, sealed.id, [secret], who="me", to=bytes(path)) for path in free]
    [_] = [answer for answer in answers if isinstance(answer, EntryRecord)]


def test_never_the_wrong_file_and_never_a_lost_one(vault: Vault, site: Path, keys: KeyPair) -> None:
    paths = furnish(site, 4)
    everything = contents(site)
    counts: Counter[str] = Counter()
    begun = time.monotonic()
    with attack(SWAPPER, site):
        while time.monotonic() < begun + 5 or counts["noticed after"] < 10 or counts["sealed"] < 10:
            assert time.monotonic() < begun + LIMIT, counts
            path = paths[counts["turns"] % len(paths)]
            counts["turns"] += 1
            if (sealed := quarantine(vault, path, counts)) is not None:
                file_path = path.with_name(path.name.replace("a", "b"))
                put_back(vault, keys.secret, sealed, path, file_path)
    sys.stdout.write(f"{dict(counts)}\n")
    assert contents(site) == everything
    assert len(names(site)) == 8
    assert vault.recover() == []


def test_a_name_taken_meanwhile_loses_no_file(vault: Vault, site: Path) -> None:
    [path] = furnish(site, 1)
    counts: Counter[str] = Counter(pairs=1)
    end = time.monotonic() + LIMIT
    with attack(SWAPPER, site, "squat"):
        while counts["beside"] < 3:
            assert time.monotonic() < end, counts
            if quarantine(vault, path, counts) is not None:
                path = pair(site, counts["pairs"])
                counts["pairs"] += 1
            counts["beside"] = len(list(site.glob("*.hashwacht-*")))
    sys.stdout.write(f"{dict(counts)}\n")
    after = contents(site)
    for number in range(counts["pairs"]):
        assert after[b"innocent %d" % number] == 1
    assert sum(after[b"bad %d" % number] for number in range(counts["pairs"])) == 1
    assert not list(site.glob(".hashwacht-*"))
    findings = [finding.fault for finding in vault.verify()]
    assert findings == [None] * (counts["pairs"] - 1)


def test_the_same_attack_works_on_code_that_uses_paths(site: Path, tmp_path: Path) -> None:
    """Otherwise the tests above could not fail."""
    [path, *_] = furnish(site, 4)
    end = time.monotonic() + LIMIT
    with attack(SWAPPER, site):
        while time.monotonic() < end:
            with judged(path) as bad, suppress(FileNotFoundError):
                if bad is not None:
                    path.rename(tmp_path / "taken")
                    if not (tmp_path / "taken").read_bytes().startswith(b"bad"):
                        return
                    (tmp_path / "taken").rename(path)
    pytest.fail("the attack is harmless")
