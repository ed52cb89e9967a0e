from hashwacht.checker import Checker
from hashwacht.core.errors import ConfigurationError, HashwachtError
from hashwacht.core.types import Match, Outcome, Reason, Signal, Verdict
from hashwacht.core.upload_context import Circumstances
from hashwacht.uploads.backend import Checked, Workplace
from hashwacht.uploads.stream import Incoming

__version__: str

__all__ = [
    "Checked",
    "Checker",
    "Circumstances",
    "ConfigurationError",
    "HashwachtError",
    "Incoming",
    "Match",
    "Outcome",
    "Reason",
    "Signal",
    "Verdict",
    "Workplace",
    "__version__",
]
