"""The configuration: TOML to frozen sections, with the origin of every value.

Unknown keys and wrong values are errors, reported all at once with their lines.  Nothing here
reads the process environment or the user id: :func:`load` takes both as arguments.
"""

from hashwacht.settings.alerts import AlertSettings
from hashwacht.settings.daemon import (
    ActionLimitSettings,
    DaemonSettings,
    HoldKind,
    HoldSettings,
    QuarantineSettings,
    WatchKind,
)
from hashwacht.settings.faults import InvalidConfiguration
from hashwacht.settings.load import Configuration, OptionValue, load
from hashwacht.settings.matchers import (
    ArachnidSettings,
    EokmSettings,
    HashlistSettings,
    HmaSettings,
    MatcherKind,
    MatcherSettings,
    ServiceSettings,
)
from hashwacht.settings.origins import ValueOrigin, ValueSource
from hashwacht.settings.sections import (
    CredentialSettings,
    FingerprintSettings,
    LimitSettings,
    MatchAction,
    RootSettings,
    ScanSettings,
    Settings,
    StateSettings,
    UndeterminedAction,
    UploadMode,
    UploadSettings,
)
from hashwacht.settings.units import RateLimit, RateUnit

__all__ = [
    "ActionLimitSettings",
    "AlertSettings",
    "ArachnidSettings",
    "Configuration",
    "CredentialSettings",
    "DaemonSettings",
    "EokmSettings",
    "FingerprintSettings",
    "HashlistSettings",
    "HmaSettings",
    "HoldKind",
    "HoldSettings",
    "InvalidConfiguration",
    "LimitSettings",
    "MatchAction",
    "MatcherKind",
    "MatcherSettings",
    "OptionValue",
    "QuarantineSettings",
    "RateLimit",
    "RateUnit",
    "RootSettings",
    "ScanSettings",
    "ServiceSettings",
    "Settings",
    "StateSettings",
    "UndeterminedAction",
    "UploadMode",
    "UploadSettings",
    "ValueOrigin",
    "ValueSource",
    "WatchKind",
    "load",
]
