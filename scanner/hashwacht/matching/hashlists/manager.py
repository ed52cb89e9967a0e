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

import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from hashwacht.core.errors import ListError
from hashwacht.core.ports import SignalType
from hashwacht.core.signals import BUILT_IN
from hashwacht.core.types import Diagnostic, Signal
from hashwacht.core.views import ViewKind
from hashwacht.matching.comparison import HashDistance, radius_for
from hashwacht.matching.hashlists.import_result import (
    ImportHandling,
    ImportRequest,
    ImportResult,
    malformed_error,
    no_entries_error,
)
from hashwacht.matching.hashlists.importer import (
    BuiltList,
    ImportRemarks,
    ListBuilder,
    ProgressCallback,
)
from hashwacht.matching.hashlists.manifest import (
    MANIFEST,
    HashList,
    ListMetadata,
    category,
    dump,
    load,
    radii,
    validate_metadata,
    validate_radius,
)
from hashwacht.matching.hashlists.mapped_lists import MappedList
from hashwacht.matching.hashlists.parser import ListFile, ParseOptions
from hashwacht.matching.hashlists.verification import verify_lists
from hashwacht.platform.private_directory import PARTIAL, PrivateDirectory

_LIST_DIRECTORY = re.compile(r".+@[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class NearEntry:
    """An entry of a list that is near a picture, by which hash; never the value of the entry."""

    hash: HashDistance
    category: str
    id: str


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

    def nearest(
        self,
        name: str,
        signals: Iterable[Signal],
        within: int,
        view_radii: Mapping[ViewKind, int],
    ) -> list[NearEntry]:
        """Return the entries at most *within* bits from a signal, the nearest first.

        They need not match: this is for choosing the radius of a list and those of views.
        """
        hash_list = self.get(name)
        mapped = MappedList(self.directory, hash_list)
        entries = [
            NearEntry(HashDistance(signal, hit.distance, limit), hit.category, hit.id)
            for signal in signals
            if (index := hash_list.types.get(signal.type)) is not None
            for limit in [radius_for(signal, index.radius, view_radii)]
            for hit in mapped.hits(signal.type, bytes.fromhex(signal.value), within, limit=0)
        ]
        return sorted(entries, key=lambda entry: entry.hash.distance)

    def get(self, name: str) -> HashList:
        """Return the list of this name."""
        return _find(load(self.directory), name)

    def import_list(
        self,
        source: BinaryIO,
        metadata: ListMetadata,
        options: ParseOptions = ParseOptions(),  # noqa: B008  # frozen
        *,
        handling: ImportHandling = ImportHandling(),  # noqa: B008  # frozen
        on_progress: ProgressCallback = lambda _: None,
    ) -> ImportResult:
        """Install a list, replacing one of the same name.  *on_progress* is called regularly.

        A list that is installed and intact is left as it is, which costs the digest of the source.

        Raises ListError if there are malformed lines that are not allowed, no entries at all,
        or no space; nothing is changed then.
        """
        validate_metadata(metadata, self._types)
        request = ImportRequest(metadata, options, handling)
        with self._writable() as root:
            if same := self._find_same(request, source):
                with root.locked():
                    self._sweep(root, load(self.directory))
                return same
            return self._import(root, request, source, on_progress)

    def _find_same(self, request: ImportRequest, source: BinaryIO) -> ImportResult | None:
        """Return the result of an import that would change nothing, None if it would."""
        installed = load(self.directory).get(request.metadata.name)
        if installed is None or not request.would_repeat(installed, source):
            return None
        if not all(finding.ok for finding in verify_lists(self.directory, [installed])):
            return None  # it is damaged
        remarks = ImportRemarks(installed.malformed, (), installed.left_out, installed.ubiquitous)
        return ImportResult(
            installed, installed, remarks, "line", (), lists_software=False, installed=True
        )

    def _import(
        self,
        root: PrivateDirectory,
        request: ImportRequest,
        source: BinaryIO,
        on_progress: ProgressCallback,
    ) -> ImportResult:
        metadata, handling = request.metadata, request.handling
        with self._new_directory(root, metadata.name) as directory:
            file = ListFile(
                source,
                request.options,
                self._types,
                known_good=metadata.known_good,
                spool=directory.temporary_file,
            )
            keeps = handling.keep_ubiquitous or metadata.known_good
            builder = ListBuilder(directory, self._types, on_progress, keep_ubiquitous=keeps)
            built = _build(builder, file, radii(metadata), handling)
            new = self._hash_list(metadata, directory.path.name, file, built)
            new = _with_remarks(new, builder.remarks, keeps=keeps)
            new = replace(new, recipe=request.recipe)
            replaced = self._install(root, new, dry_run=handling.dry_run)
            return ImportResult(
                new,
                replaced,
                builder.remarks,
                file.unit,
                file.columns,
                lists_software=file.lists_software,
                installed=not handling.dry_run,
            )

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
            malformed=0,
            types=built.types,
            files=built.files,
            format=str(file.format),
        )

    def _install(self, root: PrivateDirectory, new: HashList, *, dry_run: bool) -> HashList | None:
        """Put a list into the manifest, or discard it; return the one of the same name."""
        with root.locked():
            installed = load(self.directory)
            replaced = installed.get(new.name)
            if dry_run:
                root.discard(new.directory)
                return replaced
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
                with root.locked():
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


def _build(
    builder: ListBuilder, file: ListFile, radii: Mapping[str, int], handling: ImportHandling
) -> BuiltList:
    """Read all entries and write their indexes.  Raises ListError."""
    try:
        builder.read(file)
        if builder.remarks.malformed and not handling.allow_malformed:
            raise malformed_error(builder.remarks, file.unit)
        built = builder.write(radii)
    finally:
        builder.close()
    if not built.types:
        raise no_entries_error(builder.remarks)
    return built


def _with_remarks(new: HashList, remarks: ImportRemarks, *, keeps: bool) -> HashList:
    return replace(
        new,
        malformed=remarks.malformed,
        screened=True,
        keeps_ubiquitous=keeps and not new.known_good and bool(remarks.ubiquitous),
        ubiquitous={} if new.known_good else remarks.ubiquitous,
        left_out=remarks.left_out,
    )
