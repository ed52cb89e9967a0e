"""File attributes (owner, mode, times, extended attributes) and the strict reader of our JSON.

Access control lists are extended attributes (``system.posix_acl_access``), and so are file
capabilities and labels (``security.*``).  Attributes that cannot be set, such as the change time
and the inode number, are recorded elsewhere as evidence.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TypeVar

from hashwacht.core import paths

T = TypeVar("T")


class JsonFields:
    """The fields of a JSON object.  Every method raises ValueError for a value of another type."""

    __slots__ = ("_fields",)

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise ValueError("expected an object")  # noqa: TRY004  # damage, not a wrong call
        self._fields: Mapping[str, object] = value

    @classmethod
    def parse(cls, text: bytes) -> JsonFields:
        """Parse a whole document."""
        try:
            return cls(json.loads(text))
        except RecursionError as error:
            raise ValueError("nested too deep") from error

    def has(self, name: str) -> bool:
        """Return True if the field exists and is not null."""
        return self._fields.get(name) is not None

    def all(self) -> Mapping[str, object]:
        """Return all fields unchecked."""
        return self._fields

    def integer(self, name: str) -> int:
        """Return an integer."""
        return self._typed(name, int)

    def string(self, name: str) -> str:
        """Return a string."""
        return self._typed(name, str)

    def boolean(self, name: str) -> bool:
        """Return a boolean."""
        return self._typed(name, bool)

    def number(self, name: str) -> float:
        """Return an integer or float as a float."""
        try:
            return float(self._typed(name, int, float))
        except OverflowError as error:
            raise ValueError(f"{name}: too large") from error

    def mode(self, name: str) -> int:
        """Return permission bits, stored as an octal string."""
        return int(self.string(name), 8)

    def base64_bytes(self, name: str) -> bytes:
        """Return bytes stored in Base64 (RFC 4648, section 4)."""
        return base64.b64decode(self.string(name), validate=True)

    def path(self) -> bytes:
        """Return the path that :func:`hashwacht.core.paths.to_json` has stored."""
        try:
            return paths.from_json(self._fields)
        except (KeyError, TypeError) as error:
            raise ValueError(str(error)) from error

    def object_at(self, name: str) -> JsonFields:
        """Return a nested object."""
        return JsonFields(self._fields.get(name))

    def objects(self, name: str) -> Iterator[JsonFields]:
        """Yield the objects in a list."""
        return map(JsonFields, self._typed(name, list))

    def strings(self, name: str) -> tuple[str, ...]:
        """Return the strings in a list."""
        values = self._typed(name, list)
        if not all(isinstance(value, str) for value in values):
            raise ValueError(f"{name}: expected strings")
        return tuple(values)

    def _typed(self, name: str, *types: type[T]) -> T:
        value = self._fields.get(name)
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            expected = " or ".join(kind.__name__ for kind in types)
            raise ValueError(f"{name}: expected {expected}")
        return value


MAX_XATTR_BYTES = 8 * 1024 * 1024
"""Limit for the extended attributes of one file, so that no record grows to gigabytes.
ext4 allows 64 KiB or less in total; other file systems allow 64 KiB for each of thousands."""

_UNSUPPORTED = frozenset({errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.ENODATA, errno.ENOSYS})
_ACCESS_LIST = b"system.posix_acl_access"


@dataclass(frozen=True, slots=True)
class FileAttributes:
    """*mode* are the permission bits with set-user-id and the like; times are ns since the epoch.

    *unread* names extended attributes that could not be read or exceed MAX_XATTR_BYTES.
    *sparse*: the file took less disk space than its size.
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
        """Return the attributes of an open file.  Raises OSError."""
        status = os.fstat(fd)
        xattrs, unread = _xattrs(fd)
        return cls(
            size=status.st_size,
            mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
            atime_ns=status.st_atime_ns,
            mtime_ns=status.st_mtime_ns,
            sparse=status.st_blocks * 512 < status.st_size,
            xattrs=tuple(xattrs),
            unread=tuple(unread),
        )

    def apply(self, fd: int) -> tuple[bytes, ...]:
        """Set them on an open file; return the names of extended attributes that failed.

        The order matters: a change of owner drops set-user-id and capabilities, an access list
        changes the group bits, and everything changes the times.  Raises OSError if owner, mode
        or times cannot be set.
        """
        os.fchown(fd, self.uid, self.gid)
        missing = _set_xattrs(fd, dict(self.xattrs))
        os.fchmod(fd, self.mode)
        os.utime(fd, ns=(self.atime_ns, self.mtime_ns))
        return missing

    def to_json(self) -> dict[str, object]:
        """Return them as a JSON object."""
        return {
            **asdict(self),
            "mode": f"{self.mode:04o}",
            "xattrs": [{**_name(key), "value": _base64(value)} for key, value in self.xattrs],
            "unread": [_name(key) for key in self.unread],
        }

    @classmethod
    def from_json(cls, fields: JsonFields) -> FileAttributes:
        """Return the attributes in *fields*.  Raises ValueError."""
        return cls(
            size=fields.integer("size"),
            mode=fields.mode("mode"),
            uid=fields.integer("uid"),
            gid=fields.integer("gid"),
            atime_ns=fields.integer("atime_ns"),
            mtime_ns=fields.integer("mtime_ns"),
            sparse=fields.boolean("sparse"),
            xattrs=tuple(
                (_read_name(x), x.base64_bytes("value")) for x in fields.objects("xattrs")
            ),
            unread=tuple(map(_read_name, fields.objects("unread"))),
        )


def _xattrs(fd: int) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    """Return the extended attributes, and the names of those that could not be read."""
    read: list[tuple[bytes, bytes]] = []
    unread: list[bytes] = []
    remaining = MAX_XATTR_BYTES
    for name in _names(fd):
        try:
            value = os.getxattr(fd, name)
        except OSError:
            unread.append(name)
            continue
        remaining -= len(value)
        if remaining < 0:
            unread.append(name)
        else:
            read.append((name, value))
    return sorted(read), sorted(unread)


def _names(fd: int) -> list[bytes]:
    try:
        return [os.fsencode(name) for name in os.listxattr(fd)]
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return []
        raise


def _set_xattrs(fd: int, xattrs: Mapping[bytes, bytes]) -> tuple[bytes, ...]:
    """Set them, and remove an access list that the new file inherited from its directory."""
    if _ACCESS_LIST not in xattrs and _ACCESS_LIST in _names(fd):
        os.removexattr(fd, _ACCESS_LIST)
    missing = []
    for name, value in xattrs.items():
        try:
            os.setxattr(fd, name, value)
        except OSError:
            missing.append(name)
    return tuple(missing)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _name(name: bytes) -> dict[str, object]:
    """Encode a name, which may be any bytes but is almost always ASCII."""
    try:
        return {"name": name.decode("ascii")}
    except UnicodeDecodeError:
        return {"name_b64": _base64(name)}


def _read_name(fields: JsonFields) -> bytes:
    if fields.has("name_b64"):
        return fields.base64_bytes("name_b64")
    return fields.string("name").encode()
