"""Why an act was not done.  A value: whoever asked decides what follows, and nothing was lost."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class FailureReason(StrEnum):
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
    def transient(self) -> bool:
        """True if the same act may succeed later without anybody doing anything."""
        return self in _PASSING

    @property
    def advice(self) -> str:
        """One sentence on what to do next."""
        return _ADVICE[self]


_PASSING = frozenset(
    {
        FailureReason.CHANGED,
        FailureReason.FULL,
        FailureReason.BUSY,
        FailureReason.STRANDED,
        FailureReason.COMMAND_FAILED,
        FailureReason.FAILED,
    }
)

_ADVICE: Mapping[FailureReason, str] = MappingProxyType(
    {
        FailureReason.CHANGED: "Nothing: what lies there now is read and judged as a new file.",
        FailureReason.GONE: "Nothing: its owner or a program has removed it or given it another"
        " name.",
        FailureReason.TAKEN: "Name another path with --to, or move away what lies there.",
        FailureReason.NO_PARENT: "Give another path with --to, or add --parents.",
        FailureReason.NOT_PERMITTED: "Run as a user who may write to that directory, or give the"
        " service the capabilities that its unit names.",
        FailureReason.IMMUTABLE: "Run `chattr -i -a` on the file; somebody with root's rights"
        " set it.",
        FailureReason.READ_ONLY: "Mount the file system writable, or let the service write to it"
        " (ReadWritePaths=).",
        FailureReason.FULL: "Make room on the file system or raise the quota; it is tried again.",
        FailureReason.MOUNTED: "Unmount it, or act on the file where it was mounted from.",
        FailureReason.BUSY: "Wait until the other act has ended; it is tried again.",
        FailureReason.NO_RECIPIENTS: "Run `hashwacht quarantine keygen` and put the public key"
        " into quarantine.recipients.",
        FailureReason.WRONG_KEY: "Give the private key of one of the entry's recipients.",
        FailureReason.DAMAGED: "Run `hashwacht quarantine verify` and bring the entry back from a"
        " backup of the vault.",
        FailureReason.UNKNOWN: "See `hashwacht cases list` for what there is.",
        FailureReason.NOT_SEALED: "See its record for who restored or destroyed it and when.",
        FailureReason.STRANDED: "Nothing yet: it is tried again every ten minutes; the detail"
        " says where"
        " the file is.",
        FailureReason.COMMAND_FAILED: "Run the program of hold.command by hand to see its error.",
        FailureReason.FAILED: "See the detail and the kernel's log; it is tried again.",
    }
)


@dataclass(frozen=True, slots=True)
class QuarantineFailure:
    """*detail* is one printable line; paths in it are written as ``paths`` says."""

    reason: FailureReason
    detail: str = ""

    @classmethod
    def from_error(cls, error: OSError, doing: str = "") -> QuarantineFailure:
        """Say in our words what the system said; *doing* names the step."""
        said = error.strerror or type(error).__name__
        return cls(
            _BY_NUMBER.get(error.errno or 0, FailureReason.FAILED),
            f"{doing}: {said}" if doing else said,
        )

    @classmethod
    def from_internal_error(cls, error: OSError, doing: str) -> QuarantineFailure:
        """Do the same about what is not the customer's: that it is missing says nothing of his."""
        refusal = cls.from_error(error, doing)
        return (
            refusal
            if refusal.reason not in _OF_NAMES
            else cls(FailureReason.FAILED, refusal.detail)
        )


_OF_NAMES = frozenset({FailureReason.GONE, FailureReason.TAKEN, FailureReason.CHANGED})

_BY_NUMBER: Mapping[int, FailureReason] = MappingProxyType(
    {
        errno.EACCES: FailureReason.NOT_PERMITTED,
        errno.EPERM: FailureReason.NOT_PERMITTED,
        errno.EROFS: FailureReason.READ_ONLY,
        errno.ENOSPC: FailureReason.FULL,
        errno.EDQUOT: FailureReason.FULL,
        errno.EBUSY: FailureReason.MOUNTED,
        errno.EEXIST: FailureReason.TAKEN,
        errno.ENOENT: FailureReason.GONE,
        errno.ENOTDIR: FailureReason.GONE,
        errno.ESTALE: FailureReason.CHANGED,
    }
)
