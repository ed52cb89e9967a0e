"""Faults of a configuration: what is wrong, where, and what would be right; all in one error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from hashwacht.core.errors import ConfigurationError
from hashwacht.core.text import escape_text
from hashwacht.settings.origins import KeyPath, ValueOrigin


@dataclass(frozen=True, slots=True)
class ConfigurationFault:
    """One wrong key or value."""

    path: KeyPath
    problem: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class LocatedFault:
    """A fault and the origin of the value that has to be corrected."""

    fault: ConfigurationFault
    origin: ValueOrigin

    def __str__(self) -> str:
        advice = f" ({self.fault.advice})" if self.fault.advice else ""
        return f"{self.origin}: {dotted(self.fault.path)}: {self.fault.problem}{advice}"


class InvalidConfiguration(ConfigurationError):
    """A configuration with faults, all of them in ``faults`` in the order of the file."""

    def __init__(self, faults: Sequence[LocatedFault]) -> None:
        ordered = tuple(sorted(faults, key=lambda located: located.origin.line or 0))
        count = f"{len(ordered)} errors" if len(ordered) > 1 else "1 error"
        lines = "".join(f"\n  {located}" for located in ordered)
        super().__init__(
            f"the configuration has {count}:{lines}",
            advice="Correct them, then check again with `hashwacht config check`.",
        )
        self.faults = ordered


def dotted(path: KeyPath) -> str:
    """Return a path as text: ``matchers.eokm.timeout``, ``scan.exclude[2]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{escape_text(part)}" if text else escape_text(part)
    return text or "the file"


def unknown_key(
    path: KeyPath, valid: Iterable[str], nested: Iterable[str] = ()
) -> ConfigurationFault:
    """Return the fault of an unknown key, with the closest valid one.

    *valid* are keys of the same table; *nested* are dotted keys of the tables below it, for a key
    whose table header is missing.
    """
    name, names = str(path[-1]), sorted(valid)
    misplaced = [key for key in nested if key.rpartition(".")[2] == name]
    closest = misplaced or get_close_matches(name, names, n=1, cutoff=0.5)
    advice = f"did you mean {closest[0]}?" if closest else f"valid keys: {', '.join(names)}"
    return ConfigurationFault(path, "unknown key", advice)
