"""The hands: what can be done to a file, as casework sees it.

The real ones are in :mod:`hashwacht.cases.acting`; they decide nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from hashwacht.audit.entry import JSON
from hashwacht.storage.locations import Place


@dataclass(frozen=True, slots=True)
class Done:
    """It was done.  *vault* names what was sealed, *held* is what undoes a holding.

    *detail* is one printable line; *facts* belong into the audit log; *path* is where the file
    lies, or lay when it was sealed, if the vault knows.
    """

    vault: str = ""
    held: str = ""
    detail: str = ""
    facts: Mapping[str, JSON] = field(default_factory=dict)
    path: bytes = b""


@dataclass(frozen=True, slots=True)
class Undone:
    """It was not done, and everything is as it was.

    *problem* is a word, *detail* one printable line, *advice* what to do next.  *lost*: the file
    is not there any more, or holds another content, so there is nothing to be tried again.
    *rewritten*: it is lost because that very file holds another content.  *passing*: it may
    succeed by itself when tried again.  *holdable*: what cannot be sealed can perhaps be held
    where it is.
    """

    problem: str
    detail: str = ""
    advice: str = ""
    lost: bool = False
    rewritten: bool = False
    passing: bool = False
    holdable: bool = False

    def __str__(self) -> str:
        return f"{self.problem}: {self.detail}" if self.detail else self.problem


@dataclass(frozen=True, slots=True)
class Wish:
    """How somebody wants a file back: *why*, and if it is sealed, with which private keys.

    *to*: at another absolute path.  *make_parents*: directories that are missing are made.
    """

    why: str
    secrets: Sequence[str] = field(default=(), repr=False)
    to: bytes | None = None
    make_parents: bool = False


class Fate(Enum):
    """What became of a file that was about to be acted upon when everything stopped."""

    NOTHING = auto()
    """It is where it was."""
    HELD = auto()
    SEALED = auto()
    RESTORED = auto()
    DESTROYED = auto()


class Hands(Protocol):
    """Acts upon files.  A failure is an answer, never an exception."""

    def quarantine(self, fd: int, place: Place, case: Mapping[str, JSON]) -> Done | Undone:
        """Seal away the file that is open as *fd*, a held one too; *case* goes with it."""

    def hold(self, fd: int, place: Place, case: Mapping[str, JSON]) -> Done | Undone:
        """Keep it from being served."""

    def moves(self, path: bytes) -> bool:
        """Say if a path is one that a file has for moments, while it is sealed or put back."""

    def holding(self, fd: int) -> str:
        """Give what undoes the holding of an open file; empty if it is not held."""

    def release(self, place: Place, case: Mapping[str, JSON]) -> Done | Undone:
        """Let it be served again."""

    def restore(self, place: Place, wish: Wish, who: str) -> Done | Undone:
        """Put back what is sealed."""

    def destroy(self, place: Place, *, who: str, why: str) -> Done | Undone:
        """Destroy what is sealed; the facts have the receipt."""

    def fate(self, place: Place) -> tuple[Fate, Done]:
        """Say, after a crash, what became of the file of a place."""

    def recover(self) -> Mapping[str, str]:
        """Settle what a crash has left half done; costs nothing if there is nothing.

        Gives what could not be settled, by its name in the vault, with the reason: it is tried
        again, and not given again before that.
        """
