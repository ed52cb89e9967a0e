"""The configuration: TOML to frozen sections, with the origin of every value.

Unknown keys and wrong values are errors, reported all at once with their lines.  Nothing here
reads the process environment or the user id: :func:`load` takes both as arguments.
"""

from hashwacht.settings.daemon import ActionLimitSettings, DaemonSettings, HoldKind, WatchKind
from hashwacht.settings.gateway import ClamdSettings, Dialect, GatewaySettings, HttpSettings
from hashwacht.settings.lists import ListSourceSettings
from hashwacht.settings.load import Configuration, OptionValue, load
from hashwacht.settings.matchers import (
    ArachnidSettings,
    EokmSettings,
    HashlistSettings,
    HmaSettings,
    ServiceSettings,
)
from hashwacht.settings.roots import MatchAction, PanelKind, RootSettings, UndeterminedAction
from hashwacht.settings.sections import Settings, UploadMode
from hashwacht.settings.validate import InvalidConfiguration

__all__ = [
    "ActionLimitSettings",
    "ArachnidSettings",
    "ClamdSettings",
    "Configuration",
    "DaemonSettings",
    "Dialect",
    "EokmSettings",
    "GatewaySettings",
    "HashlistSettings",
    "HmaSettings",
    "HoldKind",
    "HttpSettings",
    "InvalidConfiguration",
    "ListSourceSettings",
    "MatchAction",
    "OptionValue",
    "PanelKind",
    "RootSettings",
    "ServiceSettings",
    "Settings",
    "UndeterminedAction",
    "UploadMode",
    "WatchKind",
    "load",
]
