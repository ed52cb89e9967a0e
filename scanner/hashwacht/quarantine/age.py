"""The two ends of sealing and of opening: open files, with a digest taken on the way.

Sealing for public keys with age (age-encryption.org/v1), by pyrage.

Who seals cannot open: the private half need not be on this machine.  Content goes through in
pieces of 64 KiB, whatever its size; age authenticates each of them, and the last one as the last.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hashwacht.core.errors import ConfigurationError, CredentialError, HashwachtError

_SECRET = re.compile(r"^AGE-SECRET-KEY-1[0-9A-Z]{58}\s*$", re.MULTILINE)
_NO_KEY_FITS = "No matching keys found"


class WrongKey(HashwachtError):
    """None of the private keys opens it."""


class CorruptContent(HashwachtError):
    """It is not what was sealed, or not all of it."""


class ReadableStream(Protocol):
    """What is read from."""

    def read(self, size: int) -> bytes:
        """Give at most *size* bytes; none at the end."""


class WritableStream(Protocol):
    """What is written to."""

    def write(self, piece: bytes) -> int:
        """Take all of *piece* and give its length."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """*public* goes into the configuration, *secret* to another machine."""

    public: str
    secret: str = field(repr=False)

    def to_text(self, made: str) -> str:
        """Write it as age-keygen does; *made* is the date.  Holds the secret."""
        return f"# created: {made}\n# public key: {self.public}\n{self.secret}\n"


def generate_key_pair() -> KeyPair:
    """Make a new pair of X25519 keys."""
    from pyrage import x25519  # type: ignore[import-untyped]  # it ships no types

    identity = x25519.Identity.generate()
    return KeyPair(str(identity.to_public()), str(identity))


def parse_secret_keys(text: str) -> tuple[str, ...]:
    """Find the private keys in a file as age-keygen writes it.  Raises CredentialError."""
    if found := tuple(each.strip() for each in _SECRET.findall(text)):
        return found
    raise CredentialError(
        "no private key of age in it",
        advice="Give the file that `hashwacht quarantine keygen` wrote (AGE-SECRET-KEY-1...).",
    )


def seal(source: ReadableStream, sink: WritableStream, recipients: Sequence[str]) -> None:
    """Encrypt everything from *source* into *sink*, for each of the *recipients*.

    Raises ConfigurationError if one of them is no key, and whatever *source* and *sink* raise.
    """
    import pyrage

    through = _Through(source.read, sink.write)
    try:
        keys = [pyrage.x25519.Recipient.from_str(each) for each in recipients]
    except pyrage.RecipientError as error:
        raise ConfigurationError(
            f"not a public key of age: {error}", advice="Correct quarantine.recipients."
        ) from error
    try:
        pyrage.encrypt_io(through, through, keys)
    except (pyrage.EncryptError, OSError):
        through.fail_as_it_did()
        raise


def unseal(source: ReadableStream, sink: WritableStream, secrets: Sequence[str]) -> None:
    """Decrypt everything from *source* into *sink* with one of the private keys.

    Raises CredentialError for a text that is no key, WrongKey, Damaged, and whatever *source* and
    *sink* raise.  What *sink* got is only worth anything if nothing was raised.
    """
    import pyrage

    through = _Through(source.read, sink.write)
    try:
        keys = [pyrage.x25519.Identity.from_str(each) for each in secrets]
    except pyrage.IdentityError as error:
        raise CredentialError(
            "not a private key of age", advice="Give one as `hashwacht quarantine keygen` wrote it."
        ) from error
    try:
        pyrage.decrypt_io(through, through, keys)
    except (pyrage.DecryptError, OSError) as error:
        through.fail_as_it_did()
        if str(error) == _NO_KEY_FITS:
            raise WrongKey("none of the private keys opens it") from error
        raise CorruptContent(f"it cannot be opened: {error}") from error


class _Through:
    """Both ends as pyrage wants them; keeps the error that it would turn into a text."""

    __slots__ = ("_failure", "_read", "_write")

    def __init__(self, read: Callable[[int], bytes], write: Callable[[bytes], int]) -> None:
        self._read, self._write = read, write
        self._failure: BaseException | None = None

    def read(self, size: int) -> bytes:
        try:
            return self._read(size)
        except BaseException as error:
            self._failure = error
            raise

    def write(self, piece: bytes) -> int:
        try:
            return self._write(piece)
        except BaseException as error:
            self._failure = error
            raise

    def flush(self) -> None:
        """Nothing is kept back."""

    def fail_as_it_did(self) -> None:
        if self._failure is not None:
            raise self._failure


_PIECE = 1 << 20
"""Bytes read at once.  age asks for 8 KiB at a time, which would be as many system calls."""

_HOLE = 4096
"""What a file system can leave out: a block of zeros."""


class FileGrew(Exception):
    """The file has become longer than it was when its reading began."""


class HashingReader:
    """A file from its beginning to *size*, by its descriptor; moves no file offset.

    Raises OSError, and Grown as soon as there is a byte too many: a writer who is faster than we
    are must not keep us reading for ever.
    """

    def __init__(self, fd: int, size: int) -> None:
        """Begin at the beginning."""
        self._fd, self._size, self._at = fd, size, 0
        self._piece, self._used = b"", 0
        self._digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Give the next bytes, at most *size*."""
        if self._used == len(self._piece):
            self._piece, self._used = os.pread(self._fd, _PIECE, self._at), 0
            self._at += len(self._piece)
            self._digest.update(self._piece)
            if self._at > self._size:
                raise FileGrew
        piece = self._piece[self._used : self._used + size]
        self._used += len(piece)
        return piece

    def sha256(self) -> str:
        """Give the digest of all that was read."""
        return self._digest.hexdigest()


class HashingWriter:
    """A new file, written from its beginning.  Raises OSError.

    With *sparse*, blocks of zeros become holes.
    """

    def __init__(self, fd: int, *, sparse: bool = False) -> None:
        """Begin at the beginning of an empty file."""
        self._fd, self._sparse = fd, sparse
        self.size = 0
        self._digest = hashlib.sha256()

    def write(self, piece: bytes) -> int:
        """Write all of it."""
        self._digest.update(piece)
        if self._sparse:
            self._write_sparsely(piece)
        else:
            self._write_at(memoryview(piece), self.size)
        self.size += len(piece)
        return len(piece)

    def finish(self) -> None:
        """Give the file its whole length and flush it to the disk."""
        if self._sparse:
            os.ftruncate(self._fd, self.size)
        os.fsync(self._fd)

    def sha256(self) -> str:
        """Give the digest of all that was written."""
        return self._digest.hexdigest()

    def _write_sparsely(self, piece: bytes) -> None:
        for start in range(0, len(piece), _HOLE):
            block = piece[start : start + _HOLE]
            if block.count(0) != len(block):
                self._write_at(memoryview(block), self.size + start)

    def _write_at(self, piece: memoryview, at: int) -> None:
        while piece:
            written = os.pwrite(self._fd, piece, at)
            piece, at = piece[written:], at + written


def sha256_of(fd: int, size: int) -> str:
    """Read an open file from its beginning to *size*.  Raises OSError, Grown."""
    reading = HashingReader(fd, size)
    while reading.read(_PIECE):
        pass
    return reading.sha256()
