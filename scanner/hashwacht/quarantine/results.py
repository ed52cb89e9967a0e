"""Why an act was not done.  A value: whoever asked decides what follows, and nothing was lost."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Obstacle(StrEnum):
    """What stood in the way."""

    CHANGED = "changed"
    """Another file has the name, or the content is not the one that was judged."""
    GONE = "gone"
    """Nothing has the name any more."""
    TAKEN = "taken"
    """Something has the name that a file was to get."""
    NO_PARENT = "no-parent"
    """The directory that a file was to go to is not there."""
    NOT_PERMITTED = "not-permitted"
    IMMUTABLE = "immutable"
    """The file has the attribute i or a (chattr(1))."""
    READ_ONLY = "read-only"
    FULL = "full"
    """No space left, or over a quota."""
    BUSY = "busy"
    """Another process acts on it at this moment."""
    MOUNTED = "mounted"
    """It is a mount point: another file covers the one that lies there."""
    NO_RECIPIENTS = "no-recipients"
    """There is no key to seal for."""
    WRONG_KEY = "wrong-key"
    """None of the private keys opens it."""
    DAMAGED = "damaged"
    """What lies in the vault is not what was sealed."""
    UNKNOWN = "unknown"
    """The vault or the holds have no such entry."""
    NOT_SEALED = "not-sealed"
    """The entry has no content any more: it was restored or destroyed."""
    STRANDED = "stranded"
    """The file lies safe in the holding directory and can be neither sealed nor put back now."""
    COMMAND_FAILED = "command-failed"
    """The operator's program did not end with exit code 0 in time."""
    FAILED = "failed"
    """The system gave an error that has no word here."""

    @property
    def passing(self) -> bool:
        """True if the same act may succeed later without anybody doing anything."""
        return self in _PASSING

    @property
    def advice(self) -> str:
        """One sentence on what to do next."""
        return _ADVICE[self]


_PASSING = frozenset(
    {
        Obstacle.CHANGED,
        Obstacle.FULL,
        Obstacle.BUSY,
        Obstacle.STRANDED,
        Obstacle.COMMAND_FAILED,
        Obstacle.FAILED,
    }
)

_ADVICE: Mapping[Obstacle, str] = MappingProxyType(
    {
        Obstacle.CHANGED: "Nothing: what lies there now is read and judged as a new file.",
        Obstacle.GONE: "Nothing: its owner or a program has removed it or given it another name.",
        Obstacle.TAKEN: "Name another path with --to, or move away what lies there.",
        Obstacle.NO_PARENT: "Name another path with --to, or give --parents to have the directory"
        " made again.",
        Obstacle.NOT_PERMITTED: "Run as a user who may write to that directory, or give the"
        " service the capabilities that its unit names.",
        Obstacle.IMMUTABLE: "Run `chattr -i -a` on the file; somebody with root's rights set it.",
        Obstacle.READ_ONLY: "Mount the file system writable, or let the service write to it"
        " (ReadWritePaths=).",
        Obstacle.FULL: "Make room on the file system or raise the quota; it is tried again.",
        Obstacle.MOUNTED: "Unmount it, or act on the file where it was mounted from.",
        Obstacle.BUSY: "Wait until the other act has ended; it is tried again.",
        Obstacle.NO_RECIPIENTS: "Make a key with `hashwacht quarantine key` and put its public"
        " half into quarantine.recipients.",
        Obstacle.WRONG_KEY: "Give the private key of one of the recipients that the entry names.",
        Obstacle.DAMAGED: "Run `hashwacht quarantine verify` and bring the entry back from a"
        " backup of the vault.",
        Obstacle.UNKNOWN: "See `hashwacht cases list` for what there is.",
        Obstacle.NOT_SEALED: "See its record for who restored or destroyed it and when.",
        Obstacle.STRANDED: "Nothing yet: it is tried again every ten minutes; the detail says where"
        " the file is.",
        Obstacle.COMMAND_FAILED: "Run the program of hold.command by hand to see what it says.",
        Obstacle.FAILED: "See the detail and the kernel's log; it is tried again.",
    }
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """*detail* is one printable line; paths in it are written as ``paths`` says."""

    reason: Obstacle
    detail: str = ""

    @classmethod
    def of(cls, error: OSError, doing: str = "") -> Refusal:
        """Say in our words what the system said; *doing* names the step."""
        said = error.strerror or type(error).__name__
        return cls(
            _BY_NUMBER.get(error.errno or 0, Obstacle.FAILED),
            f"{doing}: {said}" if doing else said,
        )

    @classmethod
    def of_ours(cls, error: OSError, doing: str) -> Refusal:
        """Do the same about what is not the customer's: that it is missing says nothing of his."""
        refusal = cls.of(error, doing)
        return refusal if refusal.reason not in _OF_NAMES else cls(Obstacle.FAILED, refusal.detail)


_OF_NAMES = frozenset({Obstacle.GONE, Obstacle.TAKEN, Obstacle.CHANGED})

_BY_NUMBER: Mapping[int, Obstacle] = MappingProxyType(
    {
        errno.EACCES: Obstacle.NOT_PERMITTED,
        errno.EPERM: Obstacle.NOT_PERMITTED,
        errno.EROFS: Obstacle.READ_ONLY,
        errno.ENOSPC: Obstacle.FULL,
        errno.EDQUOT: Obstacle.FULL,
        errno.EBUSY: Obstacle.MOUNTED,
        errno.EEXIST: Obstacle.TAKEN,
        errno.ENOENT: Obstacle.GONE,
        errno.ENOTDIR: Obstacle.GONE,
        errno.ESTALE: Obstacle.CHANGED,
    }
)
