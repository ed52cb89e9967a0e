"""Hashwacht: known abuse material cannot sit unnoticed on a host, and no content leaves it."""

__version__ = "0.1.0"
