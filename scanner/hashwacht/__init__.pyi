from hashwacht.checker import (
    CheckBackend,
    Checker,
    CheckResult,
    ConfigurationError,
    HashwachtError,
    Match,
    Outcome,
    Reason,
    Signal,
    UploadContext,
    UploadStream,
    Verdict,
)

__version__: str

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
