from hashwacht.checker import Checker
from hashwacht.errors import ConfigurationError, HashwachtError
from hashwacht.incoming import Incoming
from hashwacht.types import Match, Outcome, Reason, Signal, Verdict
from hashwacht.uploads import Circumstances
from hashwacht.workplace import Checked, Workplace

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
