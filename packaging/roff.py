"""Manual pages: what man(7) wants, and nothing of what a page says."""

from __future__ import annotations

import re
from collections.abc import Iterable


def page(name: str, section: int, version: str, sections: Iterable[tuple[str, str]]) -> str:
    """Put a page together; no date in it, so that equal input gives an equal file."""
    head = f'.TH "{name.upper()}" "{section}" "" "Hashwacht {version}" "Hashwacht manual"\n'
    return head + "".join(f".SH {title}\n{body}\n" for title, body in sections if body)


def text(plain: str) -> str:
    """Escape plain text: backslashes, hyphens that must stay, and what begins a request."""
    escaped = plain.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga")
    return re.sub(r"(?m)^(?=[.'])", r"\\&", escaped)


def paragraphs(plain: str) -> str:
    """Fill paragraphs that blank lines divide."""
    blocks = re.split(r"\n\s*\n", plain.strip())
    return "\n.PP\n".join(text(re.sub(r"\s+", " ", block)) for block in blocks if block)


def bold(plain: str) -> str:
    """Print it bold."""
    return f"\\fB{text(plain)}\\fR"


def items(pairs: Iterable[tuple[str, str]]) -> str:
    """List terms with what they mean."""
    return "\n".join(f".TP\n{bold(term)}\n{paragraphs(meaning)}" for term, meaning in pairs)


def examples(pairs: Iterable[tuple[str, str]]) -> str:
    """List what to type, under what it does."""
    return "\n".join(
        f"{paragraphs(does)}\n.PP\n.nf\n.RS 4\n{text(typed)}\n.RE\n.fi\n.PP"
        for typed, does in pairs
    ).removesuffix("\n.PP")
