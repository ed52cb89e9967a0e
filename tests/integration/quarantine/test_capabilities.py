"""The privileges that the scanner's unit keeps suffice to act and to revert."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from hashwacht.quarantine.age import KeyPair
from hashwacht.quarantine.record import EntryRecord
from hashwacht.quarantine.vault import Vault
from support.vaults import Snapshot, dress, names, restore

UNIT = Path(__file__).parents[3] / "packaging/systemd/hashwacht-scanner.service"

ACTS = """
import json, os, stat, sys
from pathlib import Path
from hashwacht.quarantine.hold import FileHolder
from hashwacht.quarantine.vault import Vault
from hashwacht.settings import HoldKind
from support.vaults import judge

site, vault = Path(sys.argv[1]), Vault(Path(sys.argv[2]), [sys.argv[3]])
hold = FileHolder(Path(sys.argv[2]) / "../holds", HoldKind.MODE)
said = []
for name in ("back", "held", "sealed"):
    path = site / name
    fd, key = judge(path)
    if name == "back":
        said.append(vault.quarantine(fd, bytes(path), "0" * 64, {}).reason)
    elif name == "held":
        held = hold.hold(fd, bytes(path), "{}")
        said.append(stat.S_IMODE(os.fstat(fd).st_mode))
        said.append(type(hold.release(bytes(path), held.file, "{}")).__name__)
    else:
        sealed = vault.quarantine(fd, bytes(path), key, {})
        said.append([sealed.id, sealed.sealing.writers, len(vault.recover())])
print(json.dumps(said))
"""


HOLDS = """
import os, stat, sys
from pathlib import Path
from hashwacht.quarantine.hold import FileHolder
from hashwacht.settings import HoldKind
from support.hostile.refused_calls import refuse_set_id_bits

if sys.argv[3] == "refused":
    refuse_set_id_bits()
path, hold = Path(sys.argv[1]), FileHolder(Path(sys.argv[2]), HoldKind.MODE)
fd = os.open(path, os.O_RDONLY)
held = hold.hold(fd, bytes(path), "{}")
assert stat.S_IMODE(os.fstat(fd).st_mode) == 0
print(hold.release(bytes(path), held.file, "{}").released_mode)
"""


def limited(*program: str | Path, without: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program with the privileges that the unit keeps, *without* one of them."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv (util-linux)")
    [allowed] = re.findall(r"^CapabilityBoundingSet=(.+)$", UNIT.read_text(), re.MULTILINE)
    left = [name for name in allowed.split() if name != without]
    some = ",".join("+" + name.removeprefix("CAP_").lower() for name in left)
    command = ["setpriv", f"--bounding-set=-all,{some}", "--no-new-privs", sys.executable, "-c"]
    return subprocess.run([*command, *program], capture_output=True, text=True, check=False)


def test_in_a_directory_of_another_user(tmp_path: Path, site: Path, keys: KeyPair) -> None:
    for name in ("back", "held", "sealed"):
        (site / name).write_bytes(b"content of " + name.encode())
        dress(site / name)
        with suppress(OSError):  # only CAP_SYS_ADMIN can read it
            os.removexattr(site / name, "trusted.hashwacht")
    looks = {name: Snapshot.of(site / name) for name in names(site)}
    if os.geteuid() == 0:
        os.chown(site, 12345, 54321)
    site.chmod(0o700)
    result = limited(ACTS, site, tmp_path / "vault", keys.public)
    assert result.returncode == 0, result.stderr
    [back, output, released, [id_, writers, unfinished]] = json.loads(result.stdout)
    assert (back, output, released, unfinished) == ("changed", 0, "ReleaseResult", 0)
    assert writers == "none"
    assert names(site) == ["back", "held"]
    vault = Vault(tmp_path / "vault")
    assert isinstance(restore(vault, id_, [keys.secret], who="me"), EntryRecord)
    assert {name: Snapshot.of(site / name) for name in names(site)} == looks


@pytest.mark.parametrize("how", ["refused", "left out in silence"])
@pytest.mark.parametrize("bits", [stat.S_ISUID, stat.S_ISGID])
def test_a_file_with_set_id_bits_can_be_held_and_served_again(
    tmp_path: Path, site: Path, how: str, bits: int
) -> None:
    """The bits may be lost, which is reported; they must not protect a file from a hold."""
    path = site / "picture"
    path.write_bytes(b"content")
    if os.geteuid() == 0:
        os.chown(path, 12345, 54321)
    path.chmod(0o640 | bits)
    result = limited(HOLDS, path, tmp_path / "holds", how)
    assert result.returncode == 0, result.stderr
    mode = stat.S_IMODE(path.stat().st_mode)
    assert mode & ~bits == 0o640
    assert result.stdout.strip() == ("its-own" if mode & bits else "less")
    assert (how == "refused") <= (mode == 0o640)
    assert names(tmp_path / "holds") == []


OWNERS = """
import os, sys
from pathlib import Path
from hashwacht.quarantine.hold import FileHolder
from hashwacht.settings import HoldKind

path, hold = Path(sys.argv[1]), FileHolder(Path(sys.argv[2]), HoldKind.MODE)
fd = os.open(path, os.O_RDONLY)
held = hold.hold(fd, bytes(path), "{}")
status = os.fstat(fd)
print(held.uid, status.st_uid, oct(status.st_mode & 0o7777), len([*hold.find_undoable()]))
hold.release(bytes(path), held.file, "{}")
"""


@pytest.mark.parametrize(
    ("without", "result"), [("", "12345 0 0o0 0"), ("CAP_CHOWN", "None 12345 0o0 1")]
)
def test_without_the_capability_the_owner_stays_and_is_named(
    tmp_path: Path, site: Path, without: str, result: str
) -> None:
    path = site / "picture"
    path.write_bytes(b"content")
    dress(path)
    before = Snapshot.of(path)
    done = limited(OWNERS, path, tmp_path / "holds", without=without)
    assert (done.returncode, done.stdout.strip()) == (0, result), done.stderr
    assert Snapshot.of(path) == before
