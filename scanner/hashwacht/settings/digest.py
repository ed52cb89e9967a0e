"""One number for everything that is configured, so that a change of it can be told."""

from __future__ import annotations

from hashlib import sha256

from hashwacht.settings.sections import Settings


def digest(settings: Settings) -> str:
    """Give a SHA-256 that differs whenever a value does, whatever file it came from.

    There is no secret among the values: credentials are only named.
    """
    return sha256(repr(settings).encode("utf-8", "backslashreplace")).hexdigest()
