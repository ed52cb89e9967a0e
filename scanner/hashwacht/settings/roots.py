"""The tables ``[roots.NAME]`` and ``[panel]``: what is watched, and what follows a match."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hashwacht.settings.kinds import (
    AbsolutePath,
    Choice,
    String,
    StringList,
    Table,
    Url,
    setting,
)
from hashwacht.settings.matchers import CATEGORY

EXCLUDE = StringList(String("[^\\x00]+", "a pattern as in .gitignore"))


class MatchAction(StrEnum):
    """The action for a match."""

    OBSERVE = "observe"
    HOLD = "hold"
    QUARANTINE = "quarantine"


class UndeterminedAction(StrEnum):
    """The action while a content is undetermined."""

    ALLOW = "allow"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class RootSettings:
    """A directory that the daemon watches, with everything below it."""

    name: str
    path: Path | None = setting(AbsolutePath(), None, "The directory. Required.")
    on_exact_match: MatchAction = setting(
        Choice(MatchAction),
        MatchAction.OBSERVE,
        'Action if the exact bytes are known (a digest matches): "observe" opens a case and sends'
        ' an alert, "hold" also blocks access to the file, "quarantine" also moves it to encrypted'
        " quarantine. Watch a new installation for some days before it acts.",
    )
    on_similar_match: MatchAction = setting(
        Choice(MatchAction),
        MatchAction.OBSERVE,
        "Action if only a picture hash matches. Such a match can, rarely, be wrong.",
    )
    on_category: tuple[tuple[str, MatchAction], ...] = setting(
        Table(CATEGORY, Choice(MatchAction)),
        (),
        "Actions for matches of certain categories; they override the two keys above.",
    )
    on_undetermined: UndeterminedAction = setting(
        Choice(UndeterminedAction),
        UndeterminedAction.ALLOW,
        'Action while a file is undetermined: "allow" leaves it alone and asks again, "hold" blocks'
        " access until there is an answer. With allow, an outage of a service does not affect"
        " customers' sites.",
    )
    exclude: tuple[str, ...] = setting(
        EXCLUDE, (), "Files to skip here, in addition to scan.exclude and in the same syntax."
    )
    url: str = setting(
        Url(optional=True),
        "",
        "Address under which the directory is served, for reports. Empty: not known.",
    )

    @property
    def directory(self) -> Path:
        """The path; never None once the settings are loaded."""
        assert self.path is not None
        return self.path


class PanelKind(StrEnum):
    """The hosting panels whose accounts can be found."""

    AUTO = "auto"
    CPANEL = "cpanel"
    PLESK = "plesk"
    DIRECTADMIN = "directadmin"
    ISPCONFIG = "ispconfig"
    VIRTUALMIN = "virtualmin"
    FROXLOR = "froxlor"
    HESTIA = "hestia"
    CLOUDPANEL = "cloudpanel"


@dataclass(frozen=True, slots=True)
class PanelSettings:
    """Roots of a hosting panel: `hashwacht roots discover` writes them to conf.d/50-panel.toml."""

    kind: PanelKind = setting(
        Choice(PanelKind),
        PanelKind.AUTO,
        'The panel: "cpanel", "plesk", "directadmin", "ispconfig", "virtualmin", "froxlor",'
        ' "hestia" or "cloudpanel". "auto": the one that is installed.',
    )
    on_exact_match: MatchAction = setting(
        Choice(MatchAction),
        MatchAction.OBSERVE,
        "Action if the exact bytes are known, as in a table of roots, for all roots of the panel.",
    )
    on_similar_match: MatchAction = setting(
        Choice(MatchAction), MatchAction.OBSERVE, "Action if only a picture hash matches."
    )
    on_undetermined: UndeterminedAction = setting(
        Choice(UndeterminedAction),
        UndeterminedAction.ALLOW,
        "Action while a file is undetermined.",
    )
    exclude: tuple[str, ...] = setting(
        EXCLUDE,
        (),
        "Files to skip in all roots of the panel, in addition to mail and logs of the accounts.",
    )
