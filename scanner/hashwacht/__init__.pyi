from hashwacht.checker import Checker
from hashwacht.core.errors import ConfigurationError, HashwachtError
from hashwacht.core.types import Match, Outcome, Reason, Signal, Verdict
from hashwacht.core.upload_context import UploadContext
from hashwacht.uploads.backend import CheckBackend, CheckResult
from hashwacht.uploads.stream import UploadStream

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
