"""The signal types that come with Hashwacht, and how others are found.

What a signal type *is* (name, canonical form, distance) stands here, where lists, the state
and the services can see it; what *computes* it stands in :mod:`hashwacht.fingerprint`.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from hashwacht.core.errors import ConfigurationError, SignalError
from hashwacht.core.ports import SignalType

ENTRY_POINT_GROUP = "hashwacht.signal_types"

MAX_TEXT_CHARS = 4096
"""Characters in a value of a type that we know nothing about."""

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
        """Lower-case and check length and alphabet.  Raises SignalError."""
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
        """Upper case and surrounding blanks are what people paste."""
        digits = ("0123456789abcdef" * 16)[: self.bits // 4]
        return [(digits, digits), (f"  {digits.upper()}\n", digits)]


@dataclass(frozen=True, slots=True)
class TextSignalType:
    """A signal type of which we know nothing but its name: what an operator's command prints.

    Any printable ASCII text without blanks, compared for equality; *bits* is 0 as its length is
    not known.  Hexadecimal is brought to lower case, everything else stays as it was printed.
    """

    name: str
    bits: int = 0
    perceptual: bool = False
    version: int = 1

    def canonical(self, value: str) -> str:
        """Strip white space around it.  Raises SignalError for anything that is no one word."""
        text = value.strip()
        if not 0 < len(text) <= MAX_TEXT_CHARS or not _PRINTABLE.issuperset(text):
            raise SignalError(
                f"not a {self.name}: 1 to {MAX_TEXT_CHARS} printable ASCII characters without"
                f" blanks expected, got {len(text)} characters"
            )
        return text.lower() if _HEX.issuperset(text) else text

    def distance(self, one: str, other: str) -> int:
        """Give 0 if they are equal, else the bits of the longer one: nothing in between."""
        return 0 if one == other else 8 * max(len(one), len(other))

    def examples(self) -> Sequence[tuple[str, str]]:
        """Hexadecimal and anything else."""
        return [(" 00FFaa\n", "00ffaa"), ("Base64+/==", "Base64+/==")]


DIGESTS: tuple[HexSignalType, ...] = (
    HexSignalType("md5", 128, perceptual=False),
    HexSignalType("sha1", 160, perceptual=False),
    HexSignalType("sha256", 256, perceptual=False),
)

PICTURE_HASHES: tuple[HexSignalType, ...] = (
    HexSignalType("pdq", 256, perceptual=True),
    HexSignalType("phash64", 64, perceptual=True),
    HexSignalType("dhash64", 64, perceptual=True),
)

BUILT_IN: Mapping[str, SignalType] = {each.name: each for each in (*DIGESTS, *PICTURE_HASHES)}


def signal_types(names: Iterable[str]) -> dict[str, SignalType]:
    """Find the signal types of these names: built in, or installed by an operator.

    Raises ConfigurationError if one is unknown, or if what an entry point gives is no
    signal type of that name.
    """
    wanted = list(names)
    known: dict[str, SignalType] = {n: BUILT_IN[n] for n in wanted if n in BUILT_IN}
    installed = {each.name: each for each in entry_points(group=ENTRY_POINT_GROUP)}
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
    found = installed[name].load()
    made = found() if isinstance(found, type) else found
    if getattr(made, "name", None) != name:
        raise ConfigurationError(
            f"the entry point {installed[name].value!r} is not a signal type named {name!r}",
            advice=f"It must implement hashwacht.signal_types.SignalType and be named {name!r}.",
        )
    return made  # type: ignore[no-any-return]  # structural: a Protocol with properties
