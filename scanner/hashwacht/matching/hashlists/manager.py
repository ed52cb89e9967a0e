"""The hash lists installed in a directory: import, show, change, remove, verify.

Lists are secrets: the directory has mode 0700 and its files 0600 from the moment they exist, and
nothing here ever gives back a value.  Every change takes effect by the replacement of one file
(see ``manifest``): killed at any instant, an import leaves the old list or
the new one, and processes that are reading go on with the files they have mapped.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from hashwacht.core.errors import ListError
from hashwacht.core.ports import SignalType
from hashwacht.core.signals import BUILT_IN
from hashwacht.core.types import Diagnostic
from hashwacht.matching.hashlists.importer import BuiltList, ListBuilder, ProgressCallback
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
from hashwacht.matching.hashlists.parser import ListFile, ParseOptions, RejectedLine
from hashwacht.matching.hashlists.verify import verify_lists
from hashwacht.platform.private_directory import PARTIAL, PrivateDirectory

_FRESH = re.compile(r".+@[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did: the list as it is installed now, and the one it replaced.

    *named* are the first of the malformed lines that were left out (``list.malformed`` counts
    them all).
    """

    list: HashList
    replaced: HashList | None
    first_rejected: tuple[RejectedLine, ...]


class HashLists:
    """The lists in one directory, which is created by the first import.

    Any number of processes may use it at once.  Methods raise ListError.
    """

    def __init__(
        self,
        directory: Path,
        types: Mapping[str, SignalType] = BUILT_IN,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the signal types that lists may hold: built-in and operators' own."""
        self.directory = directory
        self._types = types
        self._clock = clock

    def all(self) -> list[HashList]:
        """Give the installed lists by name."""
        installed = load(self.directory)
        return [installed[name] for name in sorted(installed)]

    def get(self, name: str) -> HashList:
        """Give the list of this name."""
        return _named(load(self.directory), name)

    def import_list(
        self,
        source: BinaryIO,
        metadata: ListMetadata,
        reading: ParseOptions = ParseOptions(),  # noqa: B008  # frozen
        *,
        allow_malformed: bool = False,
        on_progress: ProgressCallback = lambda _: None,
    ) -> ImportResult:
        """Install a list, in place of one of that name.  *report* is told how far it is.

        Raises ListError if there are malformed lines that are not allowed, no entries at all,
        or no space; nothing has changed then.
        """
        validate_metadata(metadata, self._types)
        file = ListFile(source, reading, self._types)
        with self._writing() as root, self._fresh(root, metadata.name) as fresh:
            builder = ListBuilder(fresh, self._types, on_progress)
            try:
                malformed = builder.read(file)
                if malformed and not allow_malformed:
                    raise _malformed(malformed, builder.first_rejected)
                built = builder.write(radii(metadata))
            finally:
                builder.close()
            if not built.types:
                raise ListError(
                    "there is no entry in the list", advice="Check that it is the right file."
                )
            made = self._hash_list(metadata, fresh.path.name, file, built)
            return ImportResult(made, self._install(root, made), built.first_rejected)

    def remove(self, name: str) -> HashList:
        """Uninstall a list and delete its files; give what it was."""
        with self._writing() as root, root.locked():
            installed = load(self.directory)
            gone = _named(installed, name)
            del installed[name]
            root.replace(MANIFEST, dump(installed))
            self._sweep(root, installed)
        return gone

    def set_radius(self, name: str, signal_type: str, radius: int) -> HashList:
        """Change up to which Hamming distance values of a type match; give the changed list."""
        with self._writing() as root, root.locked():
            installed = load(self.directory)
            old = _named(installed, name)
            if signal_type not in old.types:
                raise ListError(
                    f"list {name!r} holds no {signal_type}",
                    advice="It holds " + ", ".join(sorted(old.types)) + ".",
                )
            index = old.types[signal_type]
            validate_radius(signal_type, index, radius)
            types = {**old.types, signal_type: replace(index, radius=radius)}
            installed[name] = replace(old, types=types)
            root.replace(MANIFEST, dump(installed))
        return installed[name]

    def verify(self, names: Sequence[str] = ()) -> list[Diagnostic]:
        """Read every file of these lists (default: all) and compare it with what it must be."""
        installed = load(self.directory)
        wanted = [_named(installed, name) for name in names] or self.all()
        return verify_lists(self.directory, wanted)

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

    def _install(self, root: PrivateDirectory, made: HashList) -> HashList | None:
        """Let the list become the one of its name, in one instant."""
        with root.locked():
            installed = load(self.directory)
            replaced = installed.get(made.name)
            installed[made.name] = made
            root.replace(MANIFEST, dump(installed))
            self._sweep(root, installed)
        return replaced

    @contextmanager
    def _writing(self) -> Iterator[PrivateDirectory]:
        """Open the directory, creating it if need be, and say plainly what the system refuses."""
        try:
            with PrivateDirectory.open_path(self.directory) as root:
                if root.is_writable_by_others():
                    raise ListError(
                        f"others may write to the directory of hash lists {str(self.directory)!r}",
                        advice="Take that right away (chmod 700), or name another directory.",
                    )
                yield root
        except OSError as error:
            raise ListError(
                f"the hash lists cannot be changed: {error.strerror or error}",
                advice=f"Check space on, and permissions of, {str(self.directory)!r}.",
            ) from error

    @contextmanager
    def _fresh(self, root: PrivateDirectory, name: str) -> Iterator[PrivateDirectory]:
        """Make a directory for a new import; unless it gets installed, it is discarded."""
        with root.locked():
            self._sweep(root, load(self.directory))
            fresh = root.create_directory(f"{name}@{secrets.token_hex(4)}")
        with fresh:
            try:
                yield fresh
            except BaseException:
                # It may have been installed an instant before: then it stays.
                if fresh.path.name not in {each.directory for each in self.all()}:
                    root.discard(fresh.path.name)
                raise

    @staticmethod
    def _sweep(root: PrivateDirectory, installed: Mapping[str, HashList]) -> None:
        """Delete what replaced lists and killed processes have left; call it locked."""
        kept = {each.directory for each in installed.values()}
        for name in root.names():
            fresh = _FRESH.fullmatch(name) and name not in kept
            if name.endswith(PARTIAL) or (fresh and not root.in_use(name)):
                root.discard(name)


def _named(installed: Mapping[str, HashList], name: str) -> HashList:
    if name not in installed:
        known = ", ".join(sorted(installed)) or "none"
        raise ListError(f"no hash list named {name!r}", advice=f"Installed are: {known}.")
    return installed[name]


def _malformed(count: int, named: Sequence[RejectedLine]) -> ListError:
    first = "; ".join(f"line {each.line}: {each.reason}" for each in named)
    return ListError(
        f"malformed lines: {count}; nothing was imported ({first}{'; …' * (count > len(named))})",
        advice="Correct them, or allow malformed lines to import the others.",
    )
