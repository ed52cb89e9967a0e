"""All that a file has beside its content and its name: owner, mode, times, extended attributes.

Access control lists are extended attributes (``system.posix_acl_access``), and so are file
capabilities and labels (``security.*``).  What cannot be set by anybody (the change time, the
inode number) is recorded elsewhere as evidence and not here.

Reading our own JSON back without believing it: every value has its type, or it is damage.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

T = TypeVar("T", int, str)


class JsonFields:
    """The fields of an object of JSON.  Every reading raises ValueError if it is not as said."""

    __slots__ = ("_of",)

    def __init__(self, of: object) -> None:
        """Take over what json.loads gave."""
        if not isinstance(of, dict):
            raise ValueError("expected an object")  # noqa: TRY004  # damage, not a wrong call
        self._of: Mapping[str, object] = of

    @classmethod
    def parse(cls, text: bytes) -> JsonFields:
        """Read a whole document."""
        try:
            return cls(json.loads(text))
        except RecursionError as error:
            raise ValueError("nested too deep") from error

    def has(self, name: str) -> bool:
        """Tell if the field is there and not null."""
        return self._of.get(name) is not None

    def all(self) -> Mapping[str, object]:
        """Give them as they are."""
        return self._of

    def integer(self, name: str) -> int:
        """Read a whole number."""
        return self._typed(name, int)

    def string(self, name: str) -> str:
        """Read a text."""
        return self._typed(name, str)

    def boolean(self, name: str) -> bool:
        """Read true or false."""
        value = self._of.get(name)
        if not isinstance(value, bool):
            raise ValueError(f"{name}: expected true or false")  # noqa: TRY004  # damage
        return value

    def number(self, name: str) -> float:
        """Read a number."""
        value = self._of.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name}: expected a number")  # noqa: TRY004  # damage
        return float(value)

    def base64_bytes(self, name: str) -> bytes:
        """Read bytes in Base64 (RFC 4648, section 4)."""
        return base64.b64decode(self.string(name), validate=True)

    def object_at(self, name: str) -> JsonFields:
        """Read an object."""
        return JsonFields(self._of.get(name))

    def objects(self, name: str) -> Iterator[JsonFields]:
        """Read a list of objects."""
        for value in self._list(name):
            yield JsonFields(value)

    def strings(self, name: str) -> tuple[str, ...]:
        """Read a list of texts."""
        values = self._list(name)
        if not all(isinstance(value, str) for value in values):
            raise ValueError(f"{name}: expected texts")
        return tuple(str(value) for value in values)

    def _list(self, name: str) -> list[object]:
        value = self._of.get(name)
        if not isinstance(value, list):
            raise ValueError(f"{name}: expected a list")  # noqa: TRY004  # damage
        return value

    def _typed(self, name: str, kind: type[T]) -> T:
        value = self._of.get(name)
        if isinstance(value, bool) or not isinstance(value, kind):
            raise ValueError(f"{name}: expected {kind.__name__}")  # noqa: TRY004  # damage
        return value


MAX_XATTR_BYTES = 8 * 1024 * 1024
"""Bytes of extended attributes kept of one file, so that nobody can make a record of gigabytes.
ext4 allows 64 KiB or less in all; others allow 64 KiB for each of thousands."""

_NOT_HERE = frozenset({errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.ENODATA, errno.ENOSYS})
_ACCESS_LIST = b"system.posix_acl_access"


@dataclass(frozen=True, slots=True)
class FileAttributes:
    """*mode* are the permission bits with set-user-id and the like; times are ns since the epoch.

    *unread* names extended attributes that could not be read or are beyond MOST_XATTRS.
    *sparse*: the file took less room than its size.
    """

    size: int
    mode: int
    uid: int
    gid: int
    atime_ns: int
    mtime_ns: int
    sparse: bool = False
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    unread: tuple[bytes, ...] = ()

    @classmethod
    def from_fd(cls, fd: int) -> FileAttributes:
        """Read them off an open file.  Raises OSError only if it cannot even be asked for."""
        found = os.fstat(fd)
        xattrs, unread = _xattrs(fd)
        return cls(
            size=found.st_size,
            mode=stat.S_IMODE(found.st_mode),
            uid=found.st_uid,
            gid=found.st_gid,
            atime_ns=found.st_atime_ns,
            mtime_ns=found.st_mtime_ns,
            sparse=found.st_blocks * 512 < found.st_size,
            xattrs=tuple(xattrs),
            unread=tuple(unread),
        )

    def apply(self, fd: int) -> tuple[bytes, ...]:
        """Give them to an open file of ours; names the extended attributes that it cannot have.

        In the order in which one does not undo another: a change of owner drops set-user-id and
        capabilities, a list changes the group's bits, and everything touches the times.
        Raises OSError if owner, mode or times cannot be set.
        """
        os.fchown(fd, self.uid, self.gid)
        missing = _put_xattrs(fd, dict(self.xattrs))
        os.fchmod(fd, self.mode)
        os.utime(fd, ns=(self.atime_ns, self.mtime_ns))
        return missing

    def with_mode(self, mode: int) -> FileAttributes:
        """Give the same with another mode."""
        return replace(self, mode=mode)

    def to_json(self) -> dict[str, object]:
        """Write them."""
        return {
            "size": self.size,
            "mode": f"{self.mode:04o}",
            "uid": self.uid,
            "gid": self.gid,
            "atime_ns": self.atime_ns,
            "mtime_ns": self.mtime_ns,
            "sparse": self.sparse,
            "xattrs": [{**_name(key), "value": _base64(value)} for key, value in self.xattrs],
            "unread": [_name(key) for key in self.unread],
        }

    @classmethod
    def from_json(cls, fields: JsonFields) -> FileAttributes:
        """Read them.  Raises ValueError."""
        return cls(
            size=fields.integer("size"),
            mode=int(fields.string("mode"), 8),
            uid=fields.integer("uid"),
            gid=fields.integer("gid"),
            atime_ns=fields.integer("atime_ns"),
            mtime_ns=fields.integer("mtime_ns"),
            sparse=fields.boolean("sparse"),
            xattrs=tuple(
                (_read_name(each), each.base64_bytes("value")) for each in fields.objects("xattrs")
            ),
            unread=tuple(_read_name(each) for each in fields.objects("unread")),
        )


def _xattrs(fd: int) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    """Read the extended attributes, and name those that could not be."""
    read: list[tuple[bytes, bytes]] = []
    unread: list[bytes] = []
    room = MAX_XATTR_BYTES
    for name in _names(fd):
        try:
            value = os.getxattr(fd, name)
        except OSError:
            unread.append(name)
            continue
        room -= len(value)
        if room < 0:
            unread.append(name)
        else:
            read.append((name, value))
    return sorted(read), sorted(unread)


def _names(fd: int) -> list[bytes]:
    try:
        return [os.fsencode(name) for name in os.listxattr(fd)]
    except OSError as error:
        if error.errno in _NOT_HERE:
            return []
        raise


def _put_xattrs(fd: int, wanted: Mapping[bytes, bytes]) -> tuple[bytes, ...]:
    """Set those and remove an access list that the new file inherited from its directory."""
    if _ACCESS_LIST not in wanted and _ACCESS_LIST in _names(fd):
        os.removexattr(fd, _ACCESS_LIST)
    missing = []
    for name, value in wanted.items():
        try:
            os.setxattr(fd, name, value)
        except OSError:
            missing.append(name)
    return tuple(missing)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _name(name: bytes) -> dict[str, object]:
    """Any bytes are a name; almost always they are letters."""
    try:
        return {"name": name.decode("ascii")}
    except UnicodeDecodeError:
        return {"name_b64": _base64(name)}


def _read_name(fields: JsonFields) -> bytes:
    return (
        fields.base64_bytes("name_b64")
        if fields.has("name_b64")
        else fields.string("name").encode()
    )
