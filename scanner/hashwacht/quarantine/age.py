"""Encryption with age (age-encryption.org/v1, by pyrage), and files that hash what they transfer.

Sealing needs public keys only: the private keys need not be on this machine.  Content of any size
is streamed in chunks of 64 KiB; age authenticates each chunk and the end of the stream.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from hashwacht.core.errors import ConfigurationError, CredentialError, HashwachtError

_SECRET = re.compile(r"^AGE-SECRET-KEY-1[0-9A-Z]{58}\s*$", re.MULTILINE)
_NO_KEY_FITS = "No matching keys found"


class WrongKey(HashwachtError):
    """None of the private keys opens the content."""


class CorruptContent(HashwachtError):
    """The content is not what was sealed, or incomplete."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Two keys: *public* belongs in the configuration, *secret* on another machine."""

    public: str
    secret: str = field(repr=False)

    def to_text(self, created: str) -> str:
        """Return a key file like that of age-keygen, with the date *created* and the secret."""
        return f"# created: {created}\n# public key: {self.public}\n{self.secret}\n"


def generate_key_pair() -> KeyPair:
    """Return a new pair of X25519 keys."""
    from pyrage import x25519  # type: ignore[import-untyped]  # it ships no types

    identity = x25519.Identity.generate()
    return KeyPair(str(identity.to_public()), str(identity))


def parse_secret_keys(text: str) -> tuple[str, ...]:
    """Return the private keys in the text of an age-keygen file.  Raises CredentialError."""
    if secrets := tuple(key.strip() for key in _SECRET.findall(text)):
        return secrets
    raise CredentialError(
        "the file contains no age private key",
        advice="Use the file that `hashwacht quarantine keygen` wrote (AGE-SECRET-KEY-1...).",
    )


def seal(source: HashingReader, sink: HashingWriter, recipients: Sequence[str]) -> None:
    """Encrypt everything from *source* into *sink*, for each of the *recipients*.

    Raises ConfigurationError for an invalid key, and whatever *source* and *sink* raise.
    """
    import pyrage

    stream = _Pipe(source.read, sink.write)
    try:
        keys = [pyrage.x25519.Recipient.from_str(key) for key in recipients]
    except pyrage.RecipientError as error:
        raise ConfigurationError(
            f"not an age public key: {error}", advice="Correct quarantine.recipients."
        ) from error
    try:
        pyrage.encrypt_io(stream, stream, keys)
    except (pyrage.EncryptError, OSError):
        stream.reraise()
        raise


def unseal(source: BinaryIO, sink: HashingWriter, secrets: Sequence[str]) -> None:
    """Decrypt everything from *source* into *sink* with one of the private keys.

    Raises CredentialError for an invalid key, WrongKey, CorruptContent, and whatever *source* and
    *sink* raise.  The output is valid only if nothing is raised.
    """
    import pyrage

    stream = _Pipe(source.read, sink.write)
    try:
        keys = [pyrage.x25519.Identity.from_str(key) for key in secrets]
    except pyrage.IdentityError as error:
        raise CredentialError(
            "not an age private key",
            advice="Use a key file that `hashwacht quarantine keygen` wrote.",
        ) from error
    try:
        pyrage.decrypt_io(stream, stream, keys)
    except (pyrage.DecryptError, OSError) as error:
        stream.reraise()
        if str(error) == _NO_KEY_FITS:
            raise WrongKey("none of the private keys opens the content") from error
        raise CorruptContent(f"the content cannot be decrypted: {error}") from error


class _Pipe:
    """Source and sink for pyrage, which would turn their errors into text; keeps the error."""

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
        """Do nothing: writes are not buffered."""

    def reraise(self) -> None:
        if self._failure is not None:
            raise self._failure


_PIECE = 1 << 20
"""Bytes per read.  age asks for 8 KiB at a time, which would be too many system calls."""

_HOLE = 4096
"""Size of a block of zeros that becomes a hole."""


class FileGrew(Exception):
    """The file has grown since the read began."""


class HashingReader:
    """Reads and hashes an open file up to *size*, without moving its file offset.

    Raises OSError, and FileGrew as soon as there is a byte too many: a fast writer must not make
    the read endless.
    """

    def __init__(self, fd: int, size: int) -> None:
        self._fd, self._size, self._at = fd, size, 0
        self._piece, self._used = b"", 0
        self._digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most *size*."""
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
        """Return the digest of everything read."""
        return self._digest.hexdigest()


class HashingWriter:
    """Writes and hashes a new file; *sparse* turns blocks of zeros into holes.  Raises OSError."""

    def __init__(self, fd: int, *, sparse: bool = False) -> None:
        self._fd, self._sparse = fd, sparse
        self.size = 0
        self._digest = hashlib.sha256()

    def write(self, piece: bytes) -> int:
        """Append *piece* and return its length."""
        self._digest.update(piece)
        if self._sparse:
            self._write_sparsely(piece)
        else:
            self._write_at(memoryview(piece), self.size)
        self.size += len(piece)
        return len(piece)

    def finish(self) -> None:
        """Set the final length and flush the file to disk."""
        if self._sparse:
            os.ftruncate(self._fd, self.size)
        os.fsync(self._fd)

    def sha256(self) -> str:
        """Return the digest of everything written."""
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
    """Return the SHA-256 of an open file up to *size*.  Raises OSError, FileGrew."""
    reader = HashingReader(fd, size)
    while reader.read(_PIECE):
        pass
    return reader.sha256()
