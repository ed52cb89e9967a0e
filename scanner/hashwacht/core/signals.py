"""The built-in signal types, and how installed ones are found.

This is what a signal type *is* (name, canonical form, distance), for lists, storage and services;
:mod:`hashwacht.hashing` *computes* it.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hashwacht.core.errors import ConfigurationError, SignalError
from hashwacht.core.ports import SignalType

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINT_GROUP = "hashwacht.signal_types"

MAX_TEXT_CHARS = 4096
"""Characters in a value of an unknown type."""

_HEX = frozenset(string.hexdigits)
_PRINTABLE = frozenset(string.ascii_letters + string.digits + string.punctuation)


@dataclass(frozen=True, slots=True)
class HexSignalType:
    """A signal type whose values are hexadecimal; canonical is lower case, no white space."""

    name: str
    bits: int
    perceptual: bool
    version: int = 1

    def canonical(self, value: str) -> str:
        """Return it in lower case.  Raises SignalError for another length or alphabet."""
        text = value.strip()
        if len(text) * 4 != self.bits or not _HEX.issuperset(text):
            raise SignalError(
                f"not a {self.name}: {self.bits // 4} hexadecimal digits expected, got {len(text)}"
                " characters"
            )
        return text.lower()

    def distance(self, one: str, other: str) -> int:
        """Count the bits in which two canonical values differ."""
        return (int(one, 16) ^ int(other, 16)).bit_count()

    def examples(self) -> Sequence[tuple[str, str]]:
        """Return upper case and surrounding blanks, as lists contain them."""
        digits = ("0123456789abcdef" * 16)[: self.bits // 4]
        return [(digits, digits), (f"  {digits.upper()}\n", digits)]


@dataclass(frozen=True, slots=True)
class TextSignalType:
    """A signal type of which only the name is known: the output of an operator's command.

    Values are printable ASCII without blanks, compared for equality; *bits* is 0, as the length is
    unknown.  Hexadecimal is converted to lower case, everything else is kept as it is.
    """

    name: str
    bits: int = 0
    perceptual: bool = False
    version: int = 1

    def canonical(self, value: str) -> str:
        """Return it without surrounding white space.  Raises SignalError unless it is one word."""
        text = value.strip()
        if not 0 < len(text) <= MAX_TEXT_CHARS or not _PRINTABLE.issuperset(text):
            raise SignalError(
                f"not a {self.name}: 1 to {MAX_TEXT_CHARS} printable ASCII characters without"
                f" blanks expected, got {len(text)} characters"
            )
        return text.lower() if _HEX.issuperset(text) else text

    def distance(self, one: str, other: str) -> int:
        """Return 0 if they are equal, else the bits of the longer one."""
        return 0 if one == other else 8 * max(len(one), len(other))

    def examples(self) -> Sequence[tuple[str, str]]:
        """Return hexadecimal and other values."""
        return [(" 00FFaa\n", "00ffaa"), ("Base64+/==", "Base64+/==")]


DIGESTS: tuple[HexSignalType, ...] = (
    HexSignalType("md5", 128, perceptual=False),
    HexSignalType("sha1", 160, perceptual=False),
    HexSignalType("sha256", 256, perceptual=False),
)

PICTURE_HASHES: tuple[HexSignalType, ...] = (
    HexSignalType("pdq", 256, perceptual=True),
    HexSignalType("phash64", 64, perceptual=True, version=3),
    HexSignalType("dhash64", 64, perceptual=True, version=3),
)

BUILT_IN: Mapping[str, SignalType] = {kind.name: kind for kind in (*DIGESTS, *PICTURE_HASHES)}


def signal_types(names: Iterable[str]) -> dict[str, SignalType]:
    """Return the signal types of these names: built in, or installed by an operator.

    Raises ConfigurationError if one is unknown, or if an entry point does not provide a signal
    type of that name.
    """
    from importlib.metadata import entry_points  # 2 MB in each worker, few of which need it

    wanted = list(names)
    known: dict[str, SignalType] = {n: BUILT_IN[n] for n in wanted if n in BUILT_IN}
    installed = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    for name in wanted:
        if name not in known:
            known[name] = _load(name, installed)
    return known


def _load(name: str, installed: Mapping[str, EntryPoint]) -> SignalType:
    """Import an operator's signal type; the import runs their code, so only by name."""
    if name not in installed:
        available = ", ".join(sorted({*BUILT_IN, *installed}))
        raise ConfigurationError(
            f"unknown signal type {name!r}",
            advice=f"Use one of {available}, or install the package that provides it.",
        )
    provided = installed[name].load()
    signal_type = provided() if isinstance(provided, type) else provided
    if getattr(signal_type, "name", None) != name:
        raise ConfigurationError(
            f"the entry point {installed[name].value!r} is not a signal type named {name!r}",
            advice=f"It must implement hashwacht.signal_types.SignalType and be named {name!r}.",
        )
    return signal_type  # type: ignore[no-any-return]  # structural: a Protocol with properties
