"""Measure the shape of the code: sizes, shared names, second copies, suspicious words.

The figures make a reviewer look; a good reason beats a number. Only imports, cycles and layers are
enforced (``check.py layers``).
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

MAX_LINES, MIN_LINES, MIN_COUNTED, MAX_FUNCTION, MAX_FILES = 350, 60, 6, 40, 16
FOLDER_LIMITS = {"scanner/hashwacht/cli/commands": 24}
GENERIC_NAMES = frozenset(
    ["__init__.py", "__main__.py", "base.py", "types.py", "protocol.py", "client.py", "server.py"]
)
FIRST_WORDS = ("Say", "Tell", "Give")
WORDS = re.compile(
    r"\b(nobody|somebody|whoever|anybody|anew|told|tells|nursery|clerk|desk|shelf|staff|stands|lies"
    r"|makes up for)\b",
    re.IGNORECASE,
)
ONCE = {
    r"\bflock\(": "platform/locks.py",
    r"\bprctl\(": "platform/process.py",
    r"\bSO_PEERCRED\b": "ipc/sockets.py",
    r"\bisprintable\(": "core/text.py",
    r"\bos\.replace\(": "platform/atomic.py",
    r"\bunshare\(": "platform/network.py",
    r"/proc/self/fd/": "platform/safe_open.py",
}
"""Mechanisms that are written once, and where."""


class Module:
    """One parsed file of the product."""

    def __init__(self, root: Path, name: str) -> None:
        """Read and parse *name* below *root*."""
        self.name, self.folder = name, name.rpartition("/")[0]
        self.text = (root / name).read_text()
        self.tree = ast.parse(self.text)
        self.lines = self.text.count("\n")

    @property
    def ships(self) -> bool:
        """Return whether the file is part of the wheel."""
        return "/examples/" not in self.name

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Yield all functions and methods."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node

    def first_words(self) -> Iterator[str]:
        """Yield the first word of every docstring of a function or class."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield (ast.get_docstring(node) or "").partition(" ")[0]


def report(root: Path, names: Iterable[str]) -> Iterator[str]:
    """Yield the lines of the report about the files *names* below *root*."""
    modules = [Module(root, name) for name in sorted(names)]
    folders = Counter(module.folder for module in modules)
    full = {f: n for f, n in folders.items() if n > FOLDER_LIMITS.get(f, MAX_FILES)}
    small = [m for m in modules if MIN_COUNTED <= m.lines < MIN_LINES]
    classes = _shared(
        (node.name, m.name)
        for m in modules
        for node in m.tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    basenames = _shared(
        (m.name.rpartition("/")[2], m.name)
        for m in modules
        if m.name.rpartition("/")[2] not in GENERIC_NAMES
    )
    first_words = sum(word in FIRST_WORDS for m in modules for word in m.first_words())
    importers = sorted(
        m.name for m in modules if "/testing/" not in m.name and "hashwacht.testing" in m.text
    )
    yield _row("shipped lines", sum(m.lines for m in modules if m.ships), 44_000)
    yield _row("modules", len(modules), 310)
    yield _row(f"modules of 6 to {MIN_LINES - 1} lines", len(small), 25)
    yield _row(f"modules over {MAX_LINES} lines", sum(m.lines > MAX_LINES for m in modules), 0)
    yield _row(f"folders over {MAX_FILES} files", len(full), 0, full)
    yield _row("class names used twice", len(classes), 8, classes)
    yield _row("file names used twice", len(basenames), 12, basenames)
    yield _row("docstrings beginning with Say, Tell, Give", first_words, 0)
    yield _row("product modules that import the test kit", len(importers), 0, importers)
    yield from _long_functions(modules)
    yield from _second_copies(modules)
    words = Counter(word.lower() for m in modules for word in WORDS.findall(m.text))
    yield _row("words that often mark translated prose", words.total(), None, words.most_common(8))


def _shared(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the names that occur in more than one file, with those files."""
    places = defaultdict[str, list[str]](list)
    for name, place in pairs:
        places[name].append(place)
    return {name: paths for name, paths in sorted(places.items()) if len(paths) > 1}


def _long_functions(modules: Iterable[Module]) -> Iterator[str]:
    long = [
        f"{m.name}:{f.lineno} {f.name}"
        for m in modules
        for f in m.functions()
        if (f.end_lineno or f.lineno) - f.lineno >= MAX_FUNCTION
    ]
    yield _row(f"functions over {MAX_FUNCTION} lines", len(long), 0, long)


def _second_copies(modules: Iterable[Module]) -> Iterator[str]:
    """Yield the files that use a mechanism outside the one place where it is wrapped."""
    modules = list(modules)
    for pattern, place in ONCE.items():
        users = [
            m.name
            for m in modules
            if m.ships and not m.name.endswith(place) and re.search(pattern, m.text)
        ]
        yield _row(f"{pattern} outside {place}", len(users), 0, users)


def _row(title: str, value: int, target: int | None, details: object = ()) -> str:
    """Return one line: the figure, its target, and the details if it misses the target."""
    missed = target is not None and value > target
    bound = "" if target is None else f" (target {target:,})"
    suffix = f"  {details}" if details and (missed or target is None) else ""
    return f"{'!' if missed else ' '} {value:>7,}  {title}{bound}{suffix}"
