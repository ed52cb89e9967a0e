"""The tables ``[roots.NAME]``: what the daemon watches, and what it does about a match there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hashwacht.settings.choice import Choice, Choices
from hashwacht.settings.fields import setting
from hashwacht.settings.kinds import Location, Text, Texts
from hashwacht.settings.matchers import CATEGORY


class OnMatch(StrEnum):
    """What to do about a match."""

    OBSERVE = "observe"
    HOLD = "hold"
    QUARANTINE = "quarantine"


class OnUndetermined(StrEnum):
    """What to do about a content while nobody can say anything about it."""

    ALLOW = "allow"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class RootSettings:
    """A directory that the daemon watches, with everything below it."""

    name: str
    path: Path | None = setting(Location(), None, "The directory. There is no default.")
    exact: OnMatch = setting(
        Choice(OnMatch),
        OnMatch.OBSERVE,
        'What to do if the very bytes are known (a digest matches): "observe" opens a case and'
        ' alerts, "hold" also keeps the file from being served, "quarantine" also seals it away.'
        " Observe: a new installation should be watched for some days before it acts.",
    )
    near: OnMatch = setting(
        Choice(OnMatch),
        OnMatch.OBSERVE,
        "What to do if only a picture hash matches. Such a match can be wrong, if rarely.",
    )
    categories: tuple[tuple[str, OnMatch], ...] = setting(
        Choices(CATEGORY, Choice(OnMatch)),
        (),
        "What to do about matches of certain categories, whatever exact and near say.",
    )
    undetermined: OnUndetermined = setting(
        Choice(OnUndetermined),
        OnUndetermined.ALLOW,
        'What to do while a content is undetermined: "allow" leaves the file as it is and asks'
        ' again, "hold" keeps it from being served until it is answered. Allow: an outage of a'
        " service must not take customers' sites down.",
    )
    exclude: tuple[str, ...] = setting(
        Texts(Text("[^\\x00]+", "a pattern as in .gitignore")),
        (),
        "What to leave out here, besides scan.exclude and in the same syntax.",
    )

    @property
    def directory(self) -> Path:
        """The path; never None once the settings are read."""
        assert self.path is not None
        return self.path
