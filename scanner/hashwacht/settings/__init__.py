"""The configuration: TOML to frozen sections; every value knows where it came from.

Unknown keys and wrong values are errors, all told at once with their lines.  Nothing here reads
the process environment or asks who the user is: :func:`load` is given both.
"""

from hashwacht.settings.alerts import AlertSettings
from hashwacht.settings.daemon import (
    DaemonSettings,
    GuardSettings,
    HoldKind,
    HoldSettings,
    QuarantineSettings,
    WatchKind,
)
from hashwacht.settings.faults import FaultyConfiguration, Origin, Source
from hashwacht.settings.load import Configuration, Given, load
from hashwacht.settings.matchers import (
    ArachnidSettings,
    EokmSettings,
    HashlistSettings,
    HmaSettings,
    MatcherKind,
    MatcherSettings,
    ServiceSettings,
)
from hashwacht.settings.sections import (
    CredentialSettings,
    FingerprintSettings,
    LimitSettings,
    OnMatch,
    OnUndetermined,
    RootSettings,
    ScanSettings,
    Settings,
    StateSettings,
    UploadSettings,
    Where,
)
from hashwacht.settings.units import RateLimit, RateUnit

__all__ = [
    "AlertSettings",
    "ArachnidSettings",
    "Configuration",
    "CredentialSettings",
    "DaemonSettings",
    "EokmSettings",
    "FaultyConfiguration",
    "FingerprintSettings",
    "Given",
    "GuardSettings",
    "HashlistSettings",
    "HmaSettings",
    "HoldKind",
    "HoldSettings",
    "LimitSettings",
    "MatcherKind",
    "MatcherSettings",
    "OnMatch",
    "OnUndetermined",
    "Origin",
    "QuarantineSettings",
    "RateLimit",
    "RateUnit",
    "RootSettings",
    "ScanSettings",
    "ServiceSettings",
    "Settings",
    "Source",
    "StateSettings",
    "UploadSettings",
    "WatchKind",
    "Where",
    "load",
]
