"""Text that is safe to show, and figures as people read them.

Names and messages may come from an attacker.  Three policies make them harmless: escape what a
terminal or a log would interpret (nothing is lost), replace it (short explanations), or truncate.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP = 1024
_THREE_DIGITS = 100
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def is_printable_line(text: str, max_length: int = 1 << 16) -> bool:
    """Return whether *text* has at most *max_length* characters and all of them are printable."""
    return len(text) <= max_length and text.isprintable()


def escape_text(text: str) -> str:
    r"""Write every character that is not printable as ``\xNN`` for each of its UTF-8 bytes.

    A lone surrogate stands for a byte that is not UTF-8 (PEP 383), which is written in its place.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(character: str) -> str:
    try:
        encoded = character.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        encoded = character.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in encoded)


def json_line(value: object) -> str:
    r"""Return *value* as JSON on one line, with what is not printable as ``\uNNNN``.

    ``json.dumps`` leaves DEL, C1 controls, bidirectional overrides and the line separators of
    Unicode as they are, and a lone surrogate, which cannot be encoded.
    """
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def nearest(word: str, options: Collection[str]) -> str:
    """Return the option with the fewest typing errors to *word*, "" if none is near.

    An inserted, omitted, replaced or exchanged character is one error (Damerau-Levenshtein); half
    of the characters may be wrong.  Of several the one with more letters in common is returned.
    """
    from difflib import SequenceMatcher

    def rank(option: str) -> tuple[int, float]:
        return _typing_errors(word, option), -SequenceMatcher(None, word, option).ratio()

    best = min(options, key=rank, default="")
    return best if 2 * _typing_errors(word, best) <= max(len(word), len(best)) else ""


def _typing_errors(left: str, right: str) -> int:
    before: list[int] = []
    row: list[int] = [*range(len(right) + 1)]
    for i, a in enumerate(left, 1):
        before, last, row = row, before, [i]
        for j, b in enumerate(right, 1):
            errors = min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                errors = min(errors, last[j - 2] + 1)
            row.append(errors)
    return row[-1]


def replace_unprintable(text: str, replacement: str = " ") -> str:
    """Replace every character that is not printable."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else replacement for char in text)


def truncate(text: str, max_length: int) -> str:
    """Cut *text* to *max_length* characters; the last one is then an ellipsis."""
    return text if len(text) <= max_length else text[: max_length - 1] + "…"


def count(number: float) -> str:
    """Format ``1,234,567``."""
    return f"{number:,.0f}"


def plural(number: int, one: str, several: str = "") -> str:
    """Format ``1 file``, ``2 files``; *several* if the plural is not *one* with an s."""
    return f"{count(number)} {one if number == 1 else several or one + 's'}"


def format_size(number: float) -> str:
    """Format bytes in the unit that leaves one to four digits: ``1.2 GiB``."""
    units = iter(_UNITS)
    unit = next(units)
    while abs(number) >= _STEP and unit != _UNITS[-1]:
        number, unit = number / _STEP, next(units)
    exact = unit == "B" or abs(number) >= _THREE_DIGITS
    return f"{number:.0f} {unit}" if exact else f"{number:.1f} {unit}"


def format_duration(seconds: float) -> str:
    """Format a span of time with two units: ``850ms``, ``12.3s``, ``4m 05s``, ``2d 03h``."""
    if seconds == 0:
        return "0s"
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours:02}h"
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {rest:02}s"


def format_age(then: float | None, now: float) -> str:
    """Format how long ago *then* was, in its largest unit: ``3 h ago``; ``never`` for None."""
    if then is None:
        return "never"
    seconds = max(0, int(now - then))
    for unit, length in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"


def format_time(unix: float) -> str:
    """Format a local time with its zone: ``2026-11-23 18:05:00 +0100``."""
    return datetime.fromtimestamp(unix).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def percentage(part: float, whole: float) -> str:
    """Format a percentage that is 0 or 100 only if it is exactly that."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:  # noqa: PLR2004  # it would round to 0
        return "<0.1 %"
    if 99.9 < percent < 100:  # noqa: PLR2004  # it would round to 100
        return ">99.9 %"
    return f"{percent:.0f} %" if percent in {0.0, 100.0} else f"{percent:.1f} %"
