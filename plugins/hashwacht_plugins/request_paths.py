"""Compare the path of a request with patterns, in every form in which applications may read it.

Servers, frameworks and file systems normalize paths differently: percent-encoding, dot segments,
slashes, case, parameters. A client chooses the form, so none of them may avoid a check.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable
from fnmatch import fnmatchcase
from typing import Protocol
from urllib.parse import unquote


class RequestPath(Protocol):
    """The path of a request: decoded, as it was sent, and where the application is mounted."""

    @property
    def path(self) -> str:
        """The path as the server decodes it."""

    @property
    def sent_path(self) -> str:
        """The path as the client sent it, or empty."""

    @property
    def mount(self) -> str:
        """The prefix below which the application is mounted, or empty."""


MAX_FORMS = 64
"""A path with more forms is one that a client has made up; all its forms are then unknown."""

MAX_LENGTH = 2048
"""Characters of a path whose forms are compared."""

_PLAIN = re.compile(r"(?:/[a-z0-9_-][a-z0-9_.-]*(?<!\.))+")
"""A path that every step below leaves as it is."""


def _without_dots(path: str) -> str:
    """Remove dot segments (RFC 3986, 5.2.4)."""
    segments: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            del segments[-1:]
        elif segment != ".":
            segments.append(segment)
    return "/" + "/".join(segments)


_STEPS: tuple[Callable[[str], str], ...] = (
    lambda path: unquote(path, errors="replace"),
    lambda path: path.replace("\\", "/"),
    lambda path: re.sub("//+", "/", path),
    lambda path: re.sub(r"^/*[A-Za-z][A-Za-z0-9+.-]*:/+[^/]*", "", path),  # the absolute form
    lambda path: re.sub(r"^//+[^/]+", "", path),  # the network-path form
    lambda path: re.sub(";[^/]*", "", path),  # parameters of segments
    lambda path: re.split(r"[?#]", path, maxsplit=1)[0],
    lambda path: path.split("\0", 1)[0],
    lambda path: re.sub(r"[\0-\x1f\x7f]", "", path),
    lambda path: re.sub(r"[. ]+(?=/|$)", "", path),  # Windows; dot segments are removed above
    lambda path: unicodedata.normalize("NFKC", path),
    _without_dots,
)


def path_forms(path: str) -> frozenset[str] | None:
    """Return *path* in every combination of the steps; None if there are too many."""
    if _PLAIN.fullmatch(path):
        return frozenset((path,))
    if len(path) > MAX_LENGTH:
        return None
    forms, new = {path}, [path]
    while new:
        current = new.pop()
        for step in _STEPS:
            form = step(current)
            form = form if form.startswith("/") else "/" + form
            if form not in forms:
                forms.add(form)
                new.append(form)
        if len(forms) > MAX_FORMS:
            return None
    return frozenset(forms)


def any_form_matches(request: RequestPath, patterns: Collection[str]) -> bool:
    """Return whether *request* may reach a path that one of the *patterns* matches."""
    if "*" in patterns:
        return True
    folded = [pattern.casefold() for pattern in patterns]
    mount = request.mount.rstrip("/")
    inner = request.path.removeprefix(mount)
    for path in {request.path, inner, mount + inner, *_sent(request)}:
        forms = path_forms(path)
        if forms is None or any(_matches(form.casefold(), folded) for form in forms):
            return True
    return False


def all_forms_match(request: RequestPath, patterns: Collection[str]) -> bool:
    """Return whether *request* can only reach paths that the *patterns* match."""
    for path in {request.path, *_sent(request)}:
        forms = path_forms(path)
        if forms is None or not all(_matches(form, patterns) for form in forms):
            return False
    return True


def _sent(request: RequestPath) -> Iterable[str]:
    return (request.sent_path,) if request.sent_path else ()


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)
