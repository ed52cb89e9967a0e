"""All errors.  What can be a value, as an undetermined verdict is, is not an error.

A command ends with the exit code of the error that reached it, after printing the message and
the *advice*: one sentence that says what to do next.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """Exit code of every command: the first that applies of 2, 130, 1, 4, 3, 0."""

    OK = 0
    MATCH = 1
    ERROR = 2
    UNDETERMINED = 3
    UNREACHABLE = 4
    INTERRUPTED = 130


class HashwachtError(Exception):
    """Base of all errors that Hashwacht raises on purpose."""

    exit_code: ClassVar[ExitCode] = ExitCode.ERROR
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice


class UsageError(HashwachtError):
    """Invalid arguments: unknown name, missing path, options that exclude each other."""


class ConfigurationError(HashwachtError):
    """A key, value or file of the configuration is wrong."""


class CredentialError(HashwachtError):
    """A secret is missing, unreadable, or readable by other users."""


class SignalError(HashwachtError, ValueError):
    """A text that is not a value of its signal type."""


class ListError(HashwachtError):
    """A hash list that cannot be read, found or trusted."""


class StorageError(HashwachtError):
    """The state database cannot be used."""


class StorageFull(StorageError):
    """No space is left for the state; what was committed is safe, the run can be resumed."""

    retryable = True


class StorageBusy(StorageError):
    """Another process holds the state."""

    retryable = True


class WorkerError(HashwachtError):
    """The worker processes cannot be started at all."""


class Interrupted(HashwachtError):
    """The user or the system requested a stop; everything done so far is kept: resumable."""

    exit_code = ExitCode.INTERRUPTED
    retryable = True
