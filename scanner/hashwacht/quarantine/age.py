"""Sealing for public keys with age (age-encryption.org/v1), by pyrage.

Who seals cannot open: the private half need not be on this machine.  Content goes through in
pieces of 64 KiB, whatever its size; age authenticates each of them, and the last one as the last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hashwacht.core.errors import ConfigurationError, CredentialError, HashwachtError

_SECRET = re.compile(r"^AGE-SECRET-KEY-1[0-9A-Z]{58}\s*$", re.MULTILINE)
_NO_KEY_FITS = "No matching keys found"


class WrongKey(HashwachtError):
    """None of the private keys opens it."""


class Damaged(HashwachtError):
    """It is not what was sealed, or not all of it."""


class Source(Protocol):
    """What is read from."""

    def read(self, size: int) -> bytes:
        """Give at most *size* bytes; none at the end."""


class Sink(Protocol):
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


def make_key_pair() -> KeyPair:
    """Make a new pair of X25519 keys."""
    from pyrage import x25519  # type: ignore[import-untyped]  # it ships no types

    identity = x25519.Identity.generate()
    return KeyPair(str(identity.to_public()), str(identity))


def read_secrets(text: str) -> tuple[str, ...]:
    """Find the private keys in a file as age-keygen writes it.  Raises CredentialError."""
    if found := tuple(each.strip() for each in _SECRET.findall(text)):
        return found
    raise CredentialError(
        "no private key of age in it",
        advice="Give the file that `hashwacht quarantine key` wrote (AGE-SECRET-KEY-1...).",
    )


def seal(source: Source, sink: Sink, recipients: Sequence[str]) -> None:
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


def unseal(source: Source, sink: Sink, secrets: Sequence[str]) -> None:
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
            "not a private key of age", advice="Give one as `hashwacht quarantine key` wrote it."
        ) from error
    try:
        pyrage.decrypt_io(through, through, keys)
    except (pyrage.DecryptError, OSError) as error:
        through.fail_as_it_did()
        if str(error) == _NO_KEY_FITS:
            raise WrongKey("none of the private keys opens it") from error
        raise Damaged(f"it cannot be opened: {error}") from error


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
