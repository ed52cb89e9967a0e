from hashwacht.checker import Checker
from hashwacht.core.errors import ConfigurationError, HashwachtError
from hashwacht.uploads.stream import Incoming
from hashwacht.core.types import Match, Outcome, Reason, Signal, Verdict
from hashwacht.uploads.context import Circumstances
from hashwacht.uploads.backend import Checked, Workplace

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
