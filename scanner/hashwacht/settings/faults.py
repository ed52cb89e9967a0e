"""Everything that is wrong with a configuration, told at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from hashwacht.core.errors import ConfigurationError
from hashwacht.settings.locate import KeyPath
from hashwacht.settings.origin import Origin


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong key or value: where it stands, what is wrong, and what would be right."""

    path: KeyPath
    problem: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class PlacedFault:
    """A fault with the place it has to be put right at."""

    fault: Fault
    origin: Origin

    def __str__(self) -> str:
        advice = f" ({self.fault.advice})" if self.fault.advice else ""
        return f"{self.origin}: {dotted(self.fault.path)}: {self.fault.problem}{advice}"


class FaultyConfiguration(ConfigurationError):
    """A configuration with faults, all of them in ``faults``."""

    def __init__(self, faults: Sequence[PlacedFault]) -> None:
        """Tell all of them, in the order of the file."""
        ordered = tuple(sorted(faults, key=lambda each: each.origin.line or 0))
        count = f"{len(ordered)} faults" if len(ordered) > 1 else "1 fault"
        lines = "".join(f"\n  {each}" for each in ordered)
        super().__init__(
            f"the configuration has {count}:{lines}",
            advice="Put this right; `hashwacht config check` looks again without doing anything.",
        )
        self.faults = ordered


def dotted(path: KeyPath) -> str:
    """Write a path as people do: ``matchers.eokm.timeout``, ``scan.exclude[2]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{printable(part)}" if text else printable(part)
    return text or "the file"


def printable(key: str) -> str:
    """Write a key without anything that a terminal would obey."""
    return key if key.isprintable() else ascii(key)


def unknown_key(path: KeyPath, valid: Iterable[str], below: Iterable[str] = ()) -> Fault:
    """Complain of a key and name the nearest that would be valid.

    *valid* are keys of the same table; *below* are dotted ones of tables under it, for a key
    whose table header was forgotten.
    """
    name, names = str(path[-1]), sorted(valid)
    displaced = [each for each in below if each.rpartition(".")[2] == name]
    near = displaced or get_close_matches(name, names, n=1, cutoff=0.5)
    advice = f"did you mean {near[0]}?" if near else f"valid: {', '.join(names)}"
    return Fault(path, "unknown key", advice)
