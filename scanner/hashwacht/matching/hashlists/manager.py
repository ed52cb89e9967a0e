"""The hash lists installed in a directory: import, show, change, remove, verify.

::

    lists.json          the manifest: which lists are installed
    lock                held while the manifest changes
    NAME@1f2e3d4c/      the files of one list, new with every import, never changed

Lists are secrets: the directory has mode 0700 and its files 0600 from their creation, and no
method returns a value.  Every change takes effect when the manifest is replaced: an import killed
at any moment leaves the old list or the new one, and readers keep the files they have mapped.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hashwacht.core.errors import ListError
from hashwacht.core.ports import SignalType
from hashwacht.core.signals import BUILT_IN
from hashwacht.core.types import Diagnostic
from hashwacht.matching.hashlists.importer import BuiltList, ListBuilder, ProgressCallback
from hashwacht.matching.hashlists.index_file import IndexFile
from hashwacht.matching.hashlists.manifest import (
    MANIFEST,
    HashList,
    ListMetadata,
    category,
    dump,
    index_name,
    load,
    radii,
    validate_metadata,
    validate_radius,
)
from hashwacht.matching.hashlists.parser import ListFile, ParseOptions, RejectedLine
from hashwacht.platform.private_directory import PARTIAL, PrivateDirectory, is_accessible_to_others

_LIST_DIRECTORY = re.compile(r".+@[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The installed list, the one it replaced, and the first malformed lines that were skipped.

    ``list.malformed`` counts all of them.
    """

    list: HashList
    replaced: HashList | None
    first_rejected: tuple[RejectedLine, ...]


class HashLists:
    """The lists in one directory, which the first import creates.

    Any number of processes may use it at the same time.  Methods raise ListError.
    """

    def __init__(
        self,
        directory: Path,
        types: Mapping[str, SignalType] = BUILT_IN,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """*types* are the signal types that lists may contain: built-in and operators' own."""
        self.directory, self._types, self._clock = directory, types, clock

    def all(self) -> list[HashList]:
        """Return the installed lists, sorted by name."""
        return [info for _, info in sorted(load(self.directory).items())]

    def get(self, name: str) -> HashList:
        """Return the list of this name."""
        return _find(load(self.directory), name)

    def import_list(
        self,
        source: BinaryIO,
        metadata: ListMetadata,
        options: ParseOptions = ParseOptions(),  # noqa: B008  # frozen
        *,
        allow_malformed: bool = False,
        on_progress: ProgressCallback = lambda _: None,
    ) -> ImportResult:
        """Install a list, replacing one of the same name.  *on_progress* is called regularly.

        Raises ListError if there are malformed lines that are not allowed, no entries at all,
        or no space; nothing is changed then.
        """
        validate_metadata(metadata, self._types)
        file = ListFile(source, options, self._types)
        with self._writable() as root, self._new_directory(root, metadata.name) as directory:
            builder = ListBuilder(directory, self._types, on_progress)
            try:
                malformed = builder.read(file)
                if malformed and not allow_malformed:
                    raise _malformed(malformed, builder.first_rejected)
                built = builder.write(radii(metadata))
            finally:
                builder.close()
            if not built.types:
                advice = "Check that this is the right file."
                raise ListError("the list has no entries", advice=advice)
            installed = self._hash_list(metadata, directory.path.name, file, built)
            return ImportResult(installed, self._install(root, installed), built.first_rejected)

    def remove(self, name: str) -> HashList:
        """Uninstall a list, delete its files and return it."""
        with self._writable() as root, root.locked():
            installed = load(self.directory)
            removed = _find(installed, name)
            del installed[name]
            root.replace(MANIFEST, dump(installed))
            self._sweep(root, installed)
        return removed

    def set_radius(self, name: str, signal_type: str, radius: int) -> HashList:
        """Change the Hamming distance up to which values of a type match; return the list."""
        with self._writable() as root, root.locked():
            installed = load(self.directory)
            old = _find(installed, name)
            if signal_type not in old.types:
                raise ListError(
                    f"list {name!r} contains no {signal_type}",
                    advice="It contains " + ", ".join(sorted(old.types)) + ".",
                )
            index = old.types[signal_type]
            validate_radius(signal_type, index, radius)
            types = {**old.types, signal_type: replace(index, radius=radius)}
            installed[name] = replace(old, types=types)
            root.replace(MANIFEST, dump(installed))
        return installed[name]

    def verify(self, names: Sequence[str] = ()) -> list[Diagnostic]:
        """Verify every file of these lists (default: all) against the manifest."""
        installed = load(self.directory)
        selected = [_find(installed, name) for name in names] or self.all()
        return verify_lists(self.directory, selected)

    def _hash_list(
        self, metadata: ListMetadata, directory: str, file: ListFile, built: BuiltList
    ) -> HashList:
        return HashList(
            name=metadata.name,
            category=category(metadata),
            known_good=metadata.known_good,
            directory=directory,
            imported_at=self._clock(),
            source=metadata.source,
            source_sha256=file.sha256,
            lines=file.lines,
            malformed=built.malformed,
            types=built.types,
            files=built.files,
        )

    def _install(self, root: PrivateDirectory, new: HashList) -> HashList | None:
        with root.locked():
            installed = load(self.directory)
            replaced = installed.get(new.name)
            installed[new.name] = new
            root.replace(MANIFEST, dump(installed))
            self._sweep(root, installed)
        return replaced

    @contextmanager
    def _writable(self) -> Iterator[PrivateDirectory]:
        """Open the directory, creating it if necessary, and turn OSError into ListError."""
        try:
            with PrivateDirectory.open_path(self.directory) as root:
                if root.is_writable_by_others():
                    raise ListError(
                        f"others may write to the directory of hash lists {str(self.directory)!r}",
                        advice="Run chmod 700 on it, or configure another directory.",
                    )
                yield root
        except OSError as error:
            raise ListError(
                f"the hash lists cannot be changed: {error.strerror or error}",
                advice=f"Check free space and permissions of {str(self.directory)!r}.",
            ) from error

    @contextmanager
    def _new_directory(self, root: PrivateDirectory, name: str) -> Iterator[PrivateDirectory]:
        """Create a directory for an import; it is discarded unless it gets installed."""
        with root.locked():
            self._sweep(root, load(self.directory))
            directory = root.create_directory(f"{name}@{secrets.token_hex(4)}")
        with directory:
            try:
                yield directory
            except BaseException:
                # It may have been installed just before the error: then it stays.
                if directory.path.name not in {info.directory for info in self.all()}:
                    root.discard(directory.path.name)
                raise

    @staticmethod
    def _sweep(root: PrivateDirectory, installed: Mapping[str, HashList]) -> None:
        """Delete files of replaced lists and killed processes; the caller holds the lock."""
        kept = {hash_list.directory for hash_list in installed.values()}
        for name in root.names():
            unused = _LIST_DIRECTORY.fullmatch(name) and name not in kept
            if name.endswith(PARTIAL) or (unused and not root.in_use(name)):
                root.discard(name)


def _find(installed: Mapping[str, HashList], name: str) -> HashList:
    if name not in installed:
        names = ", ".join(sorted(installed)) or "none"
        raise ListError(f"no hash list named {name!r}", advice=f"Installed lists: {names}.")
    return installed[name]


def _malformed(count: int, first: Sequence[RejectedLine]) -> ListError:
    lines = "; ".join(f"line {rejected.line}: {rejected.reason}" for rejected in first)
    return ListError(
        f"malformed lines: {count}; nothing was imported ({lines}{'; …' * (count > len(first))})",
        advice="Correct them, or allow malformed lines to import the others.",
    )


_VERIFIED_ROWS = 1 << 16
_IMPORT_AGAIN = "Import the list again; until then its answers are not reliable."


def verify_lists(root: Path, lists: Sequence[HashList]) -> list[Diagnostic]:
    """Return the faults of the directory and of every list, or one success for each list."""
    subject = f"directory of hash lists {os.fsencode(root)!r}"
    findings = list(_permission_faults(subject, root, (root / MANIFEST,))) if lists else []
    for info in lists:
        subject, directory = f"hash list {info.name!r}", root / info.directory
        paths = [directory / name for name in sorted(info.files)]
        faults = [
            *_permission_faults(subject, directory, paths),
            *(Diagnostic(subject, False, fault, _IMPORT_AGAIN) for fault in _faults(root, info)),
        ]
        success = Diagnostic(subject, True, f"{info.entries} entries, all files intact and private")
        findings += faults or [success]
    return findings


def _permission_faults(
    subject: str, directory: Path, files: Sequence[Path]
) -> Iterator[Diagnostic]:
    for path in (directory, *files):
        try:
            stat = path.lstat()
        except OSError:
            continue  # reported by _faults
        quoted = repr(os.fsencode(path))
        if is_accessible_to_others(stat):
            mode, needed = stat.st_mode & 0o7777, "700" if path == directory else "600"
            detail = f"{quoted} has mode {mode:o}: other users can read or change it"
            yield Diagnostic(subject, False, detail, f"Run chmod {needed} {quoted}.")
        if stat.st_uid not in {0, os.geteuid()}:
            detail = f"{quoted} belongs to user {stat.st_uid}, who can change it"
            yield Diagnostic(subject, False, detail, f"Run chown {os.geteuid()} {quoted}.")


def _faults(root: Path, info: HashList) -> Iterator[str]:
    for name, checksum in sorted(info.files.items()):
        path = root / info.directory / name
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            yield f"{name} cannot be read: {error.strerror}"
            continue
        if (size, digest) != (checksum.size, checksum.sha256):
            yield f"{name} has changed: its length or checksum differs"
    for name, index in sorted(info.types.items()):
        try:
            yield from _order_faults(root / info.directory, name, index.bits // 8, index.count)
        except (ListError, OSError) as error:
            yield f"{index_name(name)} cannot be used: {error}"


def _order_faults(directory: Path, name: str, width: int, count: int) -> Iterator[str]:
    file = IndexFile(directory / index_name(name), width)
    if file.layout.count != count:
        yield f"{index_name(name)} contains {file.layout.count} entries instead of {count}"
    records = file.records.view(f"S{width}").reshape(-1)
    for start in range(0, len(records), _VERIFIED_ROWS):
        block = records[start : start + _VERIFIED_ROWS + 1]
        if np.any(block[1:] < block[:-1]):
            yield f"{index_name(name)} is not sorted"
            return
