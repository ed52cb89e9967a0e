"""Failures of actions on files: values that say what prevented the action and what to do next."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class FailureReason(StrEnum):
    """What prevented an action.  The values appear in the audit log and in JSON output."""

    CHANGED = "changed"
    """The content changed during the action, or another file has the name now."""
    REPLACED = "replaced"
    """Another file has the name now."""
    REWRITTEN = "rewritten"
    """The same file holds another content now."""
    GONE = "gone"
    """No file has the name any more."""
    UNREADABLE = "unreadable"
    """The file cannot be opened or read."""
    TAKEN = "taken"
    """The target path of a restore exists already."""
    NO_PARENT = "no-parent"
    """The directory of the target path does not exist."""
    NOT_PERMITTED = "not-permitted"
    IMMUTABLE = "immutable"
    """The file has the attribute i or a (chattr(1))."""
    READ_ONLY = "read-only"
    FULL = "full"
    """No space left, or over quota."""
    BUSY = "busy"
    """Another process is acting on the file."""
    MOUNTED = "mounted"
    """The path is a mount point: another file covers the one below."""
    NO_RECIPIENTS = "no-recipients"
    """There is no public key to seal for."""
    WRONG_KEY = "wrong-key"
    """None of the private keys opens the sealed content."""
    DAMAGED = "damaged"
    """The sealed content or its record is not what was written."""
    UNKNOWN = "unknown"
    """The vault or the holds have no such entry."""
    NOT_SEALED = "not-sealed"
    """The vault no longer has the content: it was restored or destroyed."""
    HELD = "held"
    """The file is still held because its release failed."""
    STRANDED = "stranded"
    """The file is safe in the staging directory; for now it can be neither sealed nor put back."""
    COMMAND_FAILED = "command-failed"
    """The operator's program did not exit with code 0 in time."""
    FAILED = "failed"
    """Any other error of the operating system."""

    @property
    def advice(self) -> str:
        """One sentence on what to do next."""
        return _ADVICE[self]


_TRANSIENT = frozenset(
    {
        FailureReason.CHANGED,
        FailureReason.FULL,
        FailureReason.BUSY,
        FailureReason.STRANDED,
        FailureReason.COMMAND_FAILED,
        FailureReason.FAILED,
    }
)

_LOST = frozenset({FailureReason.GONE, FailureReason.REPLACED, FailureReason.REWRITTEN})

_HOLDABLE = frozenset(
    {
        FailureReason.IMMUTABLE,
        FailureReason.MOUNTED,
        FailureReason.NO_RECIPIENTS,
        FailureReason.NOT_PERMITTED,
        FailureReason.READ_ONLY,
        FailureReason.FULL,
        FailureReason.FAILED,
    }
)
"""Failures of sealing after which the file is certainly still at its path."""

_OTHER_PATH = "Choose another path with --to"
_NEW_FILE = "No action needed: the file that is there now is checked as a new one."

_ADVICE: Mapping[FailureReason, str] = MappingProxyType(
    {
        FailureReason.CHANGED: _NEW_FILE,
        FailureReason.REPLACED: _NEW_FILE,
        FailureReason.REWRITTEN: _NEW_FILE,
        FailureReason.GONE: "No action needed: the file was removed or renamed.",
        FailureReason.UNREADABLE: "Check the permissions of the file and the kernel log.",
        FailureReason.TAKEN: f"{_OTHER_PATH}, or move the existing file away.",
        FailureReason.NO_PARENT: f"{_OTHER_PATH}, or create the directories with --parents.",
        FailureReason.NOT_PERMITTED: "Run the command as a user who may write to that directory,"
        " or grant the service the capabilities that its unit file lists.",
        FailureReason.IMMUTABLE: "Run `chattr -i -a` on the file; only root can set these"
        " attributes.",
        FailureReason.READ_ONLY: "Mount the file system read-write, or add it to ReadWritePaths="
        " of the service.",
        FailureReason.FULL: "Free space on the file system or raise the quota; the action is"
        " retried.",
        FailureReason.MOUNTED: "Unmount it, or act on the file that is mounted there.",
        FailureReason.BUSY: "Wait for the other process to finish; the action is retried.",
        FailureReason.NO_RECIPIENTS: "Run `hashwacht quarantine keygen` and add the public key to"
        " quarantine.recipients.",
        FailureReason.WRONG_KEY: "Use the private key of one of the entry's recipients;"
        " `hashwacht quarantine list --json` shows them.",
        FailureReason.DAMAGED: "Run `hashwacht quarantine verify`, and restore the entry from a"
        " backup of the vault.",
        FailureReason.UNKNOWN: "Run `hashwacht cases list` to see all cases.",
        FailureReason.NOT_SEALED: "`hashwacht cases show` shows what became of the file,"
        " `hashwacht audit show` whose decision that was.",
        FailureReason.HELD: "Resolve the cause in the detail; the release is retried.",
        FailureReason.STRANDED: "No action needed yet: recovery retries every ten minutes. The"
        " detail shows where the file is.",
        FailureReason.COMMAND_FAILED: "Run the program of hold.command manually to see its error.",
        FailureReason.FAILED: "Check the detail and the kernel log; the action is retried.",
    }
)


@dataclass(frozen=True, slots=True)
class ActionFailure:
    """An action that failed and left everything as it was.

    *detail* is one printable line with escaped paths.
    """

    reason: FailureReason
    detail: str = ""

    @classmethod
    def from_error(cls, error: OSError, step: str) -> ActionFailure:
        """Return the failure for a system error in *step*, such as ``opening its directory``."""
        message = error.strerror or type(error).__name__
        reason = _BY_ERRNO.get(error.errno or 0, FailureReason.FAILED)
        return cls(reason, f"{step}: {message}")

    @classmethod
    def from_internal_error(cls, error: OSError, step: str) -> ActionFailure:
        """Return the failure for an error in our own storage.

        A file that is missing from the vault says nothing about the customer's file, so such
        errors become FAILED.
        """
        failure = cls.from_error(error, step)
        return cls(FailureReason.FAILED, failure.detail) if failure.reason in _ON_NAMES else failure

    @property
    def advice(self) -> str:
        """One sentence on what to do next."""
        return self.reason.advice

    @property
    def transient(self) -> bool:
        """True if the same action may succeed later without an administrator's help."""
        return self.reason in _TRANSIENT

    @property
    def lost(self) -> bool:
        """True if the content is no longer at the path, so that a retry is pointless."""
        return self.reason in _LOST

    @property
    def holdable(self) -> bool:
        """True if a file that cannot be sealed may still be held in place."""
        return self.reason in _HOLDABLE

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else str(self.reason)


_ON_NAMES = frozenset({FailureReason.GONE, FailureReason.TAKEN, FailureReason.CHANGED})

_BY_ERRNO: Mapping[int, FailureReason] = MappingProxyType(
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
