"""Finding the panel of this host, its sites, and the roots that cover them.

A root is the directory that holds the homes of accounts, such as ``/home`` or ``/var/www/vhosts``:
a new account is watched from its first file, and units need no change when accounts come and go.
What a panel keeps in the homes and no web server publishes (mail, logs) is excluded.  A document
root outside of all homes gets a root of its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from hashwacht.core.errors import ConfigurationError
from hashwacht.core.paths import escape_path
from hashwacht.core.text import is_printable_line
from hashwacht.panels import cpanel, directadmin, hestia, plesk, vhosts, virtualmin
from hashwacht.panels.host import Host, within
from hashwacht.panels.sites import Site
from hashwacht.walk.rules import literal_rule

MAX_NAME = 48
"""Characters of the name of a root; a number may follow."""

_NEVER = frozenset({b"", b"/", b"/etc", b"/usr", b"/var", b"/root", b"/proc", b"/sys", b"/dev"})
"""Directories that are no base of accounts, whatever a panel's file says."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel: the files that show that it is installed, and what reads them."""

    name: str
    title: str
    marks: tuple[bytes, ...]
    read_sites: Callable[[Host], Iterator[Site]]
    exclude: tuple[str, ...]


PANELS = (
    Panel("cpanel", "cPanel", cpanel.MARK, cpanel.read_sites, cpanel.EXCLUDE),
    Panel("plesk", "Plesk", plesk.MARK, plesk.read_sites, plesk.EXCLUDE),
    Panel(
        "directadmin",
        "DirectAdmin",
        directadmin.MARK,
        directadmin.read_sites,
        directadmin.EXCLUDE,
    ),
    Panel(
        "ispconfig",
        "ISPConfig",
        vhosts.ISPCONFIG_MARK,
        vhosts.read_ispconfig,
        vhosts.ISPCONFIG_EXCLUDE,
    ),
    Panel("virtualmin", "Virtualmin", virtualmin.MARK, virtualmin.read_sites, virtualmin.EXCLUDE),
    Panel("froxlor", "Froxlor", vhosts.FROXLOR_MARK, vhosts.read_froxlor, vhosts.FROXLOR_EXCLUDE),
    Panel("hestia", "Hestia", hestia.MARK, hestia.read_sites, hestia.EXCLUDE),
    Panel(
        "cloudpanel",
        "CloudPanel",
        vhosts.CLOUDPANEL_MARK,
        vhosts.read_cloudpanel,
        vhosts.CLOUDPANEL_EXCLUDE,
    ),
)


@dataclass(frozen=True, slots=True)
class PanelRoot:
    """A root to watch; *exclude* are rules as in a configuration."""

    name: str
    path: bytes
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found: the sites sorted by path, the roots, and what was left out and why."""

    panel: Panel
    sites: tuple[Site, ...]
    roots: tuple[PanelRoot, ...]
    left_out: tuple[str, ...]

    @property
    def accounts(self) -> int:
        """Number of accounts."""
        return len({site.account for site in self.sites})


def discover(host: Host, name: str = "", configured: Iterable[bytes] = ()) -> Discovery:
    """Read the panel *name*, by default the one that is installed.

    *configured* are roots that the operator has configured already: they get no second one.
    Raises ConfigurationError if there is no panel, or none of its accounts can be found.
    """
    panel = _select(host, name)
    sites: dict[bytes, Site] = {}
    left_out: list[str] = []
    for site in panel.read_sites(host):
        if _is_plain(site.path) and _is_plain(site.home):
            sites.setdefault(site.path, site)
        else:
            left_out.append(f"{escape_path(site.path)}: not an absolute path of an account")
    if not sites:
        raise ConfigurationError(
            f"{panel.title} has no account that can be read; nothing was changed",
            advice="Run the command as root, or name another panel with --panel.",
        )
    known = {*configured}
    roots = []
    for path in _bases(sites.values()):
        if path in known:
            left_out.append(f"{escape_path(path)}: configured as a root already")
        elif not host.is_directory(path):
            left_out.append(f"{escape_path(path)}: not a directory, or reached through a link")
        elif not _is_text(path):
            left_out.append(f"{escape_path(path)}: not UTF-8, which a configuration requires")
        else:
            roots.append(path)
    named = tuple(_named(roots, panel))
    return Discovery(panel, tuple(sorted(sites.values())), named, tuple(sorted({*left_out})))


def _select(host: Host, name: str) -> Panel:
    names = ", ".join(panel.name for panel in PANELS)
    if name:
        chosen = [panel for panel in PANELS if panel.name == name]
        if not chosen:
            raise ConfigurationError(f"unknown panel {name}", advice=f"Use one of {names}.")
        return chosen[0]
    for panel in PANELS:
        if any(host.exists(mark) for mark in panel.marks):
            return panel
    raise ConfigurationError(
        "no hosting panel was found",
        advice=f"Name it with --panel (one of {names}), or configure the roots yourself.",
    )


def _bases(sites: Iterable[Site]) -> list[bytes]:
    """Return the directories that hold homes, and document roots outside of them."""
    bases: set[bytes] = set()
    outside: set[bytes] = set()
    for site in sites:
        base = os.path.split(site.home)[0]
        bases.add(site.home if base in _NEVER else base)
        if not within(site.path, site.home):
            outside.add(site.path)
    bases -= _NEVER
    uncovered = {path for path in outside - _NEVER if not _is_covered(path, bases)}
    inner = {path for path in uncovered if _is_covered(os.path.split(path)[0], uncovered)}
    return sorted(bases | (uncovered - inner))


def _is_covered(path: bytes, directories: set[bytes]) -> bool:
    while path not in directories:
        above = os.path.split(path)[0]
        if above == path:
            return False
        path = above
    return True


def _named(paths: Iterable[bytes], panel: Panel) -> Iterator[PanelRoot]:
    names: set[str] = set()
    for path in paths:
        words = re.findall("[a-z0-9]+", path.decode().lower())
        stem = "-".join(("panel", *words))[:MAX_NAME].strip("-")
        name, number = stem, 2
        while name in names:
            name, number = f"{stem}-{number}", number + 1
        names.add(name)
        prefix = literal_rule(path, "").text.removesuffix("/")
        yield PanelRoot(name, path, tuple(f"{prefix}/{pattern}" for pattern in panel.exclude))


def _is_plain(path: bytes) -> bool:
    return path.startswith(b"/") and os.path.normpath(path) == path and b"\0" not in path


def _is_text(path: bytes) -> bool:
    try:
        return is_printable_line(path.decode())
    except UnicodeDecodeError:
        return False
