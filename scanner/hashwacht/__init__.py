"""Hashwacht: known abuse material cannot sit unnoticed on a host, and no content leaves it.

The names below are the public ones.  They are imported when first used, so that ``import
hashwacht`` costs nothing in a program that never checks a file.  Their types are in
``__init__.pyi``, where they make no edge in the graph of imports.
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
    homes = {
        "hashwacht.checker": ("Checker",),
        "hashwacht.core.errors": ("ConfigurationError", "HashwachtError"),
        "hashwacht.uploads.stream": ("UploadStream",),
        "hashwacht.core.types": ("Match", "Outcome", "Reason", "Signal", "Verdict"),
        "hashwacht.core.upload_context": ("UploadContext",),
        "hashwacht.uploads.backend": ("CheckResult", "CheckBackend"),
    }
    for home, names in homes.items():
        if name in names:
            value = globals()[name] = getattr(import_module(home), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
