"""The one place that builds the parts from the settings.  Whoever runs Hashwacht starts here."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from hashwacht.audit.log import FILE_NAME as AUDIT_FILE_NAME
from hashwacht.audit.log import AuditLog
from hashwacht.core.notice import Notice
from hashwacht.core.ports import Culprits, Decisive, Matcher, SignalType
from hashwacht.core.signals import BUILT_IN, ENTRY_POINT_GROUP, signal_types
from hashwacht.core.types import QUICK_BITS
from hashwacht.core.upload_context import Uploads
from hashwacht.hashing.lazy import Later
from hashwacht.hashing.plan import Limits, Plan
from hashwacht.matching.matcher_set import Panel, Seat
from hashwacht.matching.services.factory import AnyService, Services, through_courier
from hashwacht.pipeline import Pipeline
from hashwacht.secrets import Places
from hashwacht.settings import HashlistSettings, MatcherSettings, Settings
from hashwacht.storage.store import Store
from hashwacht.uploads.partial import PartialUploads
from hashwacht.walk.rules import BUILT_IN as BUILT_IN_RULES
from hashwacht.walk.rules import Rules, literally, read_rules

if TYPE_CHECKING:
    from hashwacht.cases.factory import Workroom
    from hashwacht.hashing.workers.pool import WorkerPool
    from hashwacht.matching.hashlists.manager import HashLists
    from hashwacht.quarantine.vault import Vault


def jobs(settings: Settings) -> int:
    """How many contents to fingerprint at the same time: as configured, else one per core."""
    return settings.scan.jobs or len(os.sched_getaffinity(0))


def store(settings: Settings) -> Store:
    """Open the state.  Raises StateError."""
    return Store.open(settings.state.path)


def uploads(settings: Settings) -> Uploads:
    """Say where it is kept what requests told about uploads."""
    return Uploads(settings.state.path / "uploads")


def audit_log(settings: Settings) -> AuditLog:
    """Give the log of every act.  It need not be there."""
    return AuditLog(settings.state.path / AUDIT_FILE_NAME)


def vault(settings: Settings) -> Vault:
    """Give the vault that files are sealed into.  It need not be there."""
    from hashwacht.quarantine.vault import Vault

    return Vault(settings.quarantine.vault, settings.quarantine.recipients)


def workroom(settings: Settings, store: Store, who: str, *, logs: bool = False) -> Workroom:
    """Put together what follows from verdicts and decisions; *who* stands in the audit log.

    *logs*: notices stand in this process's log as well.
    """
    from hashwacht.cases.case_lock import FILE_NAME, Turn
    from hashwacht.cases.factory import Workroom, logged
    from hashwacht.cases.file_actions import FileHands
    from hashwacht.cases.ledger import Book
    from hashwacht.quarantine.hold import Hold

    held = Hold(settings.state.path / "holds", settings.hold.by, settings.hold.command)
    told: Callable[[Notice], None] = partial(store.alerts.add, channels=settings.alerts.channels)
    told = logged(told) if logs else told
    return Workroom(
        book=Book(store, audit_log(settings), told, uploads(settings), time.time, who),
        hands=FileHands(vault(settings), held),
        turn=Turn(settings.state.path / FILE_NAME),
        roots={root.name: root for root in settings.roots},
        guard=settings.guard,
    )


def partial_uploads(settings: Settings) -> PartialUploads:
    """Say where it is noted that files come in parts."""
    return PartialUploads(settings.state.path / "partial-uploads")


def lists(settings: Settings) -> HashLists:
    """Give the hash lists that the first matcher of that kind answers from."""
    from hashwacht.matching.hashlists.manager import HashLists

    directories = [
        each.directory
        for each in settings.matchers
        if isinstance(each, HashlistSettings) and each.directory
    ]
    directory = directories[0] if directories else settings.state.path / "lists"
    return HashLists(directory, _listable(settings))


def _listable(settings: Settings) -> dict[str, SignalType]:
    """Say which signal types lists may hold: built-in ones and those of installed packages."""
    programs = {name for name, _ in settings.fingerprint.commands}
    return signal_types({*BUILT_IN, *settings.fingerprint.always} - (programs - {*BUILT_IN}))


def places(settings: Settings, environment: Mapping[str, str]) -> Places:
    """Say where credentials are looked for."""
    return Places(settings.credentials.directory, settings.credentials.keyring, environment)


def rules(settings: Settings, options: Sequence[str] = (), source: str = "configuration") -> Rules:
    """Put the rules together: built in, our own directories, configured, given with the command."""
    own = os.fsencode(settings.state.path.absolute())
    return Rules(
        [
            *BUILT_IN_RULES,
            literally(own, "Hashwacht's own state"),
            *read_rules(settings.scan.exclude, source),
            *read_rules(options, "--exclude"),
        ]
    )


def may_be_quick(settings: Settings, panel: Panel) -> bool:
    """Say if picture hashes may be a few bits off at first.

    Local lists say what they need exactly; a service is told so only if the settings allow it.
    """
    chosen = settings.fingerprint
    return chosen.quick and all(
        chosen.quick_for_services
        or isinstance(seat.matcher, Decisive)
        or not seat.matcher.accepts & QUICK_BITS.keys()
        for seat in panel.seats
    )


def plan(settings: Settings, accepted: Collection[str], *, quick: bool = False) -> Plan:
    """Say what to compute: what some matcher accepts and we can, and what is always wanted.

    A type that a matcher accepts and nobody here can compute is left out: it is the business
    of ``doctor`` to say so.
    """
    chosen = settings.fingerprint
    commands = [name for name, _ in chosen.commands]
    computable = {*BUILT_IN, *commands, *(e.name for e in entry_points(group=ENTRY_POINT_GROUP))}
    wanted = {*chosen.always, *commands, *(computable & set(accepted))}
    ordered = [*(name for name in BUILT_IN if name in wanted), *sorted(wanted - set(BUILT_IN))]
    return Plan(
        types=tuple(ordered),
        limits=Limits(
            pixels=chosen.limits.pixels,
            frames=chosen.limits.frames,
            picture_bytes=chosen.limits.picture_bytes,
            seconds=chosen.limits.seconds,
            memory_bytes=chosen.limits.memory_bytes,
        ),
        orientations=chosen.orientations,
        commands=chosen.commands,
        quick=quick,
    )


def panel(settings: Settings, environment: Mapping[str, str]) -> Panel:
    """Build all matchers.  Raises ConfigurationError, CredentialError."""
    services = Services(places(settings, environment))
    return Panel([_seat(each, settings, services.matcher) for each in settings.matchers])


def scanner_panel(settings: Settings) -> Panel:
    """Build all matchers for a process without a network: the courier asks the services."""
    ask = partial(through_courier, socket=courier_socket(settings))
    return Panel([_seat(each, settings, ask) for each in settings.matchers])


def courier_socket(settings: Settings) -> Path:
    """Say where the courier listens."""
    return settings.daemon.sockets / "courier.sock"


def _seat(
    matcher: MatcherSettings, settings: Settings, ask: Callable[[AnyService], Matcher]
) -> Seat:
    """Build one matcher and say how long its answers hold; *ask* builds those of services."""
    if isinstance(matcher, HashlistSettings):
        from hashwacht.matching.hashlists.matcher import HashListMatcher

        directory = matcher.directory or settings.state.path / "lists"
        return Seat(HashListMatcher(directory, matcher.name))
    return Seat(ask(matcher), matcher.recheck_after)


def fingerprinter(
    settings: Settings,
    accepted: Collection[str],
    culprits: Culprits | None = None,
    *,
    quick: bool = False,
) -> WorkerPool:
    """Start the worker processes.  Raises WorkerError, also if a required sandbox has gaps.

    *culprits* remembers contents that end their workers; None: for this process only.
    """
    from hashwacht.hashing.workers.pool import WorkerPool

    made = WorkerPool(
        plan(settings, accepted, quick=quick),
        jobs(settings),
        background=settings.scan.background,
        culprits=culprits,
        require_sandbox=settings.fingerprint.require_sandbox,
    )
    if settings.fingerprint.require_sandbox:
        try:
            _ = made.layers
        except BaseException:
            made.close()
            raise
    return made


def pipeline(
    settings: Settings, environment: Mapping[str, str], culprits: Culprits | None = None
) -> Pipeline:
    """Build the whole path, workers included; the caller closes it."""
    return _pipeline(settings, panel(settings, environment), culprits)


def scanner_pipeline(settings: Settings, culprits: Culprits | None = None) -> Pipeline:
    """Build the whole path for a process without a network, workers included."""
    return _pipeline(settings, scanner_panel(settings), culprits)


def _pipeline(settings: Settings, seats: Panel, culprits: Culprits | None) -> Pipeline:
    quick = may_be_quick(settings, seats)
    exact = Later(lambda: fingerprinter(settings, seats.accepts, culprits)) if quick else None
    first = fingerprinter(settings, seats.accepts, culprits, quick=quick)
    return Pipeline(first, seats, exact=exact)
