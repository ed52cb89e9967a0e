"""The map from paths to the accounts of a hosting panel, which cases name.

``roots discover`` writes it into the state directory; a path is looked up when its case is
recorded.  It is data of this program and no configuration: it changes whenever an account comes or
goes, and no process has to be reloaded for that.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hashwacht.core.paths import from_json, to_json
from hashwacht.platform import atomic

FILE_NAME = "panel-sites.json"
VERSION = 1

_MAX_FILE_SIZE = 256 << 20


@dataclass(frozen=True, slots=True, order=True)
class Site:
    """A directory of a panel's account: a document root, or the account's *home*.

    *account*, *domain* (empty for a home without a main domain) and *reseller* (empty if the
    panel's files name none) are printable text.
    """

    path: bytes
    home: bytes
    panel: str
    account: str
    domain: str = ""
    reseller: str = ""

    def to_json(self) -> dict[str, str]:
        """Return what a case records of it."""
        return {
            "panel": self.panel,
            "account": self.account,
            "domain": self.domain,
            "reseller": self.reseller,
        }


def write_sites(directory: Path, sites: Iterable[Site]) -> bool:
    """Replace the map in a state directory; return whether it has changed.  Raises OSError."""
    lines = [
        json.dumps({**to_json(site.path), **site.to_json()}, sort_keys=True)
        for site in sorted(sites)
    ]
    content = "\n".join([json.dumps({"v": VERSION, "type": "sites"}), *lines, ""]).encode()
    path = directory / FILE_NAME
    if path.exists() and path.read_bytes() == content:
        return False
    atomic.write(path, content, prepare=lambda fd: atomic.chown_like_directory(fd, path))
    return True


@dataclass(slots=True)
class SiteMap:
    """Looks paths up in the map of a state directory, which is read again when it has changed.

    Without a directory, or while there is no map that can be read, no path belongs to a site.
    """

    directory: Path | None = None
    _sites: Mapping[bytes, dict[str, str]] = field(default_factory=dict)
    _read_as: tuple[int, int, int] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, path: bytes) -> Mapping[str, str] | None:
        """Return what is known of the innermost site that contains *path*."""
        with self._lock:
            self._refresh()
            sites = self._sites
        while path not in sites:
            above = os.path.split(path)[0]
            if above == path:
                return None
            path = above
        return sites[path]

    def _refresh(self) -> None:
        if self.directory is None:
            return
        path = self.directory / FILE_NAME
        try:
            status = path.stat()
            version = (status.st_ino, status.st_size, status.st_mtime_ns)
            if version != self._read_as and status.st_size <= _MAX_FILE_SIZE:
                self._sites, self._read_as = _load(path), version
        except FileNotFoundError:
            self._sites, self._read_as = {}, None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return  # a case without the panel's names is better than none


def _load(path: Path) -> dict[bytes, dict[str, str]]:
    sites = {}
    with path.open(encoding="utf-8") as file:
        if json.loads(next(file, "{}")).get("v") != VERSION:
            return {}
        for line in file:
            fields = json.loads(line)
            names = ("panel", "account", "domain", "reseller")
            sites[from_json(fields)] = {name: str(fields[name]) for name in names}
    return sites
