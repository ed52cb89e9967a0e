"""Mounts, and which of them other machines may write to."""

from pathlib import Path

import pytest

from hashwacht.core.watch_events import Cause, MissedEvents, Root
from hashwacht.platform.filesystems.mounts import Mounts
from hashwacht.watch.root_state import RootState, network_mounts, read_root_state

LINES = r"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:25 / /srv rw - tmpfs none rw
31 30 0:26 / /srv/with\040space\012 rw shared:7 master:1 - nfs4 host:/x rw
32 30 0:27 / /srv/a rw - fuse.sshfs me@host: rw
33 30 0:28 / /srv/b rw - fuse.bindfs none rw
34 30 0:29 / /srv/chroot/proc rw - proc proc rw
35 22 0:30 / /srv rw - xfs /dev/over rw
36 22 0:31 / /mnt/share rw - cifs //host/share rw
"""


@pytest.fixture
def table(tmp_path: Path) -> Mounts:
    file = tmp_path / "mountinfo"
    file.write_text(LINES)
    return Mounts(str(file))


def test_a_path_belongs_to_the_innermost_latest_mount(table: Mounts) -> None:
    kinds = {
        path: table.at(path).kind
        for path in (b"/", b"/etc/passwd", b"/srv/x", b"/srv/a/x", b"/srv/with space\n/x")
    }
    assert list(kinds.values()) == ["ext4", "ext4", "xfs", "fuse.sshfs", "nfs4"]
    table.close()


def test_below_are_those_that_a_path_leads_to(table: Mounts) -> None:
    below = [mount.point for mount in table.below(b"/srv")]
    assert below == [b"/srv/a", b"/srv/b", b"/srv/chroot/proc", b"/srv/with space\n"]
    assert [mount.point for mount in table.below(b"/srv/b")] == []
    table.close()


def test_network_file_systems_are_recognised(table: Mounts) -> None:
    for path, is_remote in (
        (b"/srv", False),
        (b"/srv/a", True),
        (b"/srv/b", False),
        (b"/srv/with space\n", True),
        (b"/mnt/share", True),
    ):
        assert table.at(path).remote is is_remote
    table.close()


def test_a_mount_that_is_not_listed_is_unknown_and_local(tmp_path: Path) -> None:
    """In a chroot, mountinfo has no line for the mount of /."""
    file = tmp_path / "mountinfo"
    file.write_text("34 30 0:29 / /proc rw - proc proc rw\n")
    table, listed = Mounts(str(file)), Mounts()
    mount, here = table.at(bytes(tmp_path)), listed.at(bytes(tmp_path))
    assert (mount.id, mount.remote, mount.pseudo) == (here.id, False, False)
    assert table.by_id(mount.id) is None
    assert read_root_state(Root("r", bytes(tmp_path.resolve())), table) is not None
    table.close()
    listed.close()


def test_a_change_is_noticed(table: Mounts, tmp_path: Path) -> None:
    assert not table.refresh(changed=True)
    with (tmp_path / "mountinfo").open("a") as file:
        file.write("37 22 0:32 / /new rw - tmpfs none rw\n")
    assert table.refresh(changed=True)
    mount = table.at(b"/new/x")
    assert (mount.id, mount.dev, mount.kind) == (37, 32, "tmpfs")
    table.close()


def test_every_network_file_system_at_and_below_a_root_is_named(tmp_path: Path) -> None:
    root = tmp_path.resolve() / "root"
    root.mkdir()
    file = tmp_path / "mountinfo"
    file.write_text(
        "1 0 1:0 / / rw - ext4 x rw\n"
        f"2 1 0:1 / {root} rw - nfs x rw\n"
        f"3 2 0:2 / {root}/a rw - tmpfs x rw\n"
        f"4 2 0:3 / {root}/b rw - 9p x rw\n"
    )
    table, watched_root = Mounts(str(file)), Root("home", bytes(root))
    state = read_root_state(watched_root, table)
    assert isinstance(state, RootState)
    detail = "{}: what others write is not announced"
    assert network_mounts(watched_root, state) == [
        MissedEvents("home", Cause.REMOTE, detail.format("nfs")),
        MissedEvents("home", Cause.REMOTE, detail.format("9p"), bytes(root / "b")),
    ]
    table.close()


def test_a_file_is_no_root(tmp_path: Path) -> None:
    table = Mounts()
    (tmp_path / "file").touch()
    assert read_root_state(Root("r", bytes(tmp_path.resolve() / "file")), table) is None
    table.close()
