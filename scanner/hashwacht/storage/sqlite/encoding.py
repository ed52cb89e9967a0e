"""How values are written into columns: exactly, whatever strangers put into them.

SQLite's integers have 64 bits with a sign and its texts are UTF-8, but an inode number may
use the 64th bit, a time stamp of the year 2400 exceeds 64 bits when counted in nanoseconds
(the years 1678 to 2262 fit), and a text from a service's JSON may carry a lone surrogate.
What does not fit is stored as another type of the same column, so nothing is rounded and
nothing raises.
"""

from __future__ import annotations

from hashwacht.core.types import Outcome

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1

OUTCOMES = (Outcome.NO_MATCH, Outcome.MATCH, Outcome.UNDETERMINED)
"""An outcome is stored as its place here; never reordered."""

NO_MATCH, MATCH, UNDETERMINED = range(3)


def stored_int(number: int) -> int | str:
    """Return an integer, or its decimal text if SQLite has no integer that large."""
    return number if _LOWEST <= number <= _HIGHEST else str(number)


def stored_text(text: str) -> str | bytes:
    """Return a text, or its bytes if it is not encodable as UTF-8 (lone surrogates)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def text_of(stored: str | bytes) -> str:
    """Undo stored_text."""
    return stored if isinstance(stored, str) else stored.decode("utf-8", "surrogatepass")
