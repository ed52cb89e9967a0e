"""A layer that cannot be had here."""

from __future__ import annotations


class Unsupported(Exception):
    """The layer cannot be had here, and why."""
