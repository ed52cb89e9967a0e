"""Die before each single step of an action in turn, recover, and check the outcome.

Arguments: an empty directory, and the action: ``quarantine``, ``linked``, ``swapped``, ``changed``,
``restore``, ``restore elsewhere`` or ``destroy``.  Prints one line of JSON: for every step, the
outcomes of the recovery, and where the content was then.

The process has one thread, so that it may fork: each child counts the audit events of the
interpreter (PEP 578), which precede every open, mkdir, rename, chmod, unlink, lock and the like,
and kills itself at one of them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from hashwacht.quarantine.age import generate_key_pair
from hashwacht.quarantine.record import EntryRecord, EntryState
from hashwacht.quarantine.vault import Vault
from support.vaults import Snapshot, dress, judge, names, restore, seal

STEPS = ("open", "os.", "fcntl.", "ctypes.dlsym")
KEYS = generate_key_pair()
ID = "0123456789abcdef"


class Scene:
    """A vault and a customer's file with a snapshot of it."""

    def __init__(self, home: Path, act: str) -> None:
        shutil.rmtree(home, ignore_errors=True)
        self.site, self.act = home / "site", act
        self.site.mkdir(parents=True)
        self.path, self.linked = self.site / "picture", self.site / "linked"
        self.path.write_bytes(b"the picture" * 20_000)
        dress(self.path)
        self.look = Snapshot.of(self.path)
        self.vault = Vault(home / "vault", [KEYS.public])
        self.fd, self.key = judge(self.path)
        if act == "linked":
            self.linked.hardlink_to(self.path)
        self.elsewhere = home / "elsewhere/picture"
        self.elsewhere.parent.mkdir()
        if act in ("restore", "restore elsewhere", "destroy"):
            seal(self.vault, self.path)
        if act == "changed":
            self.key = "0" * 64
        self.id = next((record.id for record in self.vault.records()), ID)

    def run(self) -> None:
        """Perform the action; another file replaces the judged one if the action is ``swapped``."""
        if self.act.startswith("restore"):
            to = bytes(self.elsewhere) if self.act == "restore elsewhere" else None
            result = restore(self.vault, self.id, [KEYS.secret], who="me", to=to)
            assert isinstance(result, EntryRecord), result
        elif self.act == "destroy":
            assert isinstance(self.vault.destroy(self.id, who="me"), EntryRecord)
        else:
            self.vault.quarantine(self.fd, bytes(self.path), self.key, {}, id_=ID)

    def swap(self) -> None:
        """Replace the judged file by another one."""
        self.path.rename(self.linked)
        self.path.write_bytes(b"innocent")


def die_at(last: int, scene: Scene) -> None:
    """Kill this process before its step *last*."""
    steps, swapping = 0, False

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal steps, swapping
        if swapping or not event.startswith(STEPS):
            return
        if scene.act == "swapped" and arguments[:1] == (f".hashwacht-{ID}".encode(),):
            swapping = True
            scene.swap()
            scene.act, swapping = "", False
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def where(scene: Scene) -> str:
    """Locate the content; check that it is in exactly one place, with all its attributes."""
    around = names(scene.site) + names(scene.elsewhere.parent)
    assert not [name for name in around if name.startswith(".")], around
    states = {record.state for record in scene.vault.records()}
    assert all(finding.fault is None for finding in scene.vault.verify())
    assert not list((scene.vault._store.path / "open").glob("*"))
    if scene.linked.exists():
        assert Snapshot.of(scene.linked) == scene.look
    if scene.act == "swapped" and scene.linked.exists():
        assert scene.path.read_bytes() == b"innocent"
        assert not states
        return "swapped"
    if scene.path.exists() or scene.elsewhere.exists():
        assert scene.path.exists() != scene.elsewhere.exists()
        path = scene.path if scene.path.exists() else scene.elsewhere
        assert Snapshot.of(path) == scene.look
        assert not states & {EntryState.SEALED, EntryState.DESTROYED}
        return "place"
    [state] = states
    if state is EntryState.SEALED:
        to = scene.site / "restored"
        result = restore(scene.vault, scene.id, [KEYS.secret], who="me", to=bytes(to))
        assert isinstance(result, EntryRecord), result
        assert Snapshot.of(to) == scene.look
        return "vault"
    assert state is EntryState.DESTROYED
    return "destroyed"


def main(home: Path, act: str) -> list[tuple[list[str], str]]:
    """Die at every step until a child completes the action."""
    step, status, log = 0, 1, []
    while status:
        step += 1
        scene = Scene(home, act)
        child = os.fork()
        if not child:
            die_at(step, scene)
            scene.run()
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        assert status in (0, signal.SIGKILL), status
        recovered = scene.vault.recover()
        assert scene.vault.recover() == [], "once is enough"
        log.append(([str(result.outcome) for result in recovered], where(scene)))
        os.close(scene.fd)
    return log


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), sys.argv[2])))
