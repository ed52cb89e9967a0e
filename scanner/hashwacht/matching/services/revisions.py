"""What names the knowledge of a service: everything that gives an answer of it its meaning.

Here and not in the matchers, because whoever asks through the courier has to know it as well, and
knows no HTTP: answers are shared only if both say the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping


def of_eokm(base_url: str, path: str, formats: Mapping[str, str]) -> str:
    """Name an Instant Image Identifier; *path* is the template that is asked."""
    return f"eokm/1 {base_url} {path} {_pairs(formats)}"


def of_hma(
    base_url: str,
    signal_types: Mapping[str, str],
    banks: Collection[str],
    category: str,
    categories: Mapping[str, str],
) -> str:
    """Name a Hasher-Matcher-Actioner with the banks that are asked and what they mean."""
    asked = ",".join(sorted(banks)) or "*"
    return f"hma/2 {base_url} {_pairs(signal_types)} {asked} {category} {_pairs(categories)}"


def of_arachnid(base_url: str) -> str:
    """Name an Arachnid Shield."""
    return f"arachnid/1 {base_url}"


def _pairs(words: Mapping[str, str]) -> str:
    return ",".join(f"{ours}={theirs}" for ours, theirs in sorted(words.items()))
