"""The boundary of a walk: which file systems below its root it enters.

A directory with another device number than its parent is the root of another file system, or of a
subvolume (Btrfs, bcachefs), which need not be mounted anywhere and belongs to the same file system.
They differ in the number of the mount.
"""

from __future__ import annotations

from contextlib import closing, suppress

from hashwacht.platform.filesystems.mounts import FileSystemScope, Mount, Mounts, mount_id
from hashwacht.platform.safe_open import OpenDirectory
from hashwacht.walk.listing import ListingProblem, SkipReason

_AUTOMOUNT = "autofs"


class WalkBoundary:
    """Decides about directories whose device number differs from their parent's."""

    def __init__(self, scope: FileSystemScope, root: OpenDirectory) -> None:
        self._scope = scope
        self._device, self._root_number = root.dev, mount_id(root.fd)
        self._root_mount: Mount | None = None

    def refusal(self, directory: OpenDirectory) -> ListingProblem | None:
        """Return why the walk does not enter *directory*, None if it does.

        A mount that is not listed is taken for a local one.
        """
        number = mount_id(directory.fd)
        if directory.dev == self._device or (number is not None and number == self._root_number):
            return None
        mount = self._find(number)
        if mount is not None and mount.pseudo and mount.kind != _AUTOMOUNT:
            detail = f"an interface of the kernel ({mount.kind}) is mounted here"
            return ListingProblem(b"", SkipReason.PSEUDO_FILE_SYSTEM, detail)
        if self._scope is FileSystemScope.ALL:
            return None
        if mount is not None and (mount.remote or mount.kind == _AUTOMOUNT):
            detail = f"a network file system ({mount.kind}) is mounted here"
            return ListingProblem(b"", SkipReason.OTHER_FILE_SYSTEM, detail)
        if self._scope is FileSystemScope.ONE and not self._is_root_file_system(mount):
            detail = "another file system is mounted here"
            return ListingProblem(b"", SkipReason.OTHER_FILE_SYSTEM, detail)
        return None

    def _is_root_file_system(self, mount: Mount | None) -> bool:
        """Return whether *mount* shows another part of the file system of the root."""
        return (
            mount is not None and self._root_mount is not None and mount.dev == self._root_mount.dev
        )

    def _find(self, number: int | None) -> Mount | None:
        with suppress(OSError), closing(Mounts()) as mounts:
            self._root_mount = mounts.by_id(self._root_number)
            return mounts.by_id(number)
        return None
