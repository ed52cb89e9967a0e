"""Hashwacht finds known child sexual abuse material by hash; no content leaves the machine.

The names below are the public API for applications, that of :mod:`hashwacht.checker`.  They are
imported on first use, so that ``import hashwacht`` costs nothing in a program that never checks a
file.  Extension points for signal types are in :mod:`hashwacht.signal_types`.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

__all__ = [
    "CheckBackend",
    "CheckResult",
    "Checker",
    "ConfigurationError",
    "HashwachtError",
    "Match",
    "Outcome",
    "Reason",
    "Signal",
    "UploadContext",
    "UploadStream",
    "Verdict",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module("hashwacht.checker"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
