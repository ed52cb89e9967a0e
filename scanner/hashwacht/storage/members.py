"""Members of archives: which contents an archive contains, under which names.

A member is a content like any other, with its own fingerprint, answers and verdict, so that a
recheck reads and unpacks nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from hashwacht.storage.sqlite.database import DatabaseTable
from hashwacht.storage.sqlite.encoding import decode_text, encode_text

NamedContent = tuple[str, int]
"""The name of a member, and the number of its content."""

_AT_A_TIME = 500
"""Numbers in one query; SQLite allows some thousands."""


class Members(DatabaseTable):
    """All members of archives, by the numbers of their contents."""

    def record(self, container: int, members: Iterable[NamedContent]) -> None:
        """Record the members of an archive; they replace the former ones."""
        rows = [
            (container, ordinal, encode_text(name), content)
            for ordinal, (name, content) in enumerate(members)
        ]
        with self._database.transaction() as writer:
            writer.execute("DELETE FROM members WHERE container = ?", (container,))
            writer.executemany("INSERT INTO members VALUES (?, ?, ?, ?)", rows)

    def load(self, containers: Collection[int]) -> Mapping[int, Sequence[NamedContent]]:
        """Return the members of each of these contents that is an archive with members."""
        members: defaultdict[int, list[NamedContent]] = defaultdict(list)
        for container, name, content in self._load(
            "SELECT container, name, content FROM members WHERE container IN ({marks})"
            " ORDER BY container, ordinal",
            containers,
        ):
            members[container].append((decode_text(name), content))
        return members

    def load_containers(self, contents: Collection[int]) -> set[int]:
        """Return the archives that contain any of these contents."""
        query = "SELECT DISTINCT container FROM members WHERE content IN ({marks})"
        return {container for (container,) in self._load(query, contents)}

    def _load(self, query: str, numbers: Collection[int]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query about *numbers*, some at a time."""
        values = [*numbers]
        for start in range(0, len(values), _AT_A_TIME):
            part = values[start : start + _AT_A_TIME]
            marks = ", ".join("?" * len(part))
            yield from self._database.fetch_all(query.format(marks=marks), part)
