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
from hashwacht.core.ports import CrashLog, Matcher, SignalType
from hashwacht.core.signals import BUILT_IN, ENTRY_POINT_GROUP, signal_types
from hashwacht.core.upload_context import UploadContextStore
from hashwacht.hashing.plan import Limits, Plan
from hashwacht.hashing.quick_then_exact import QuickThenExact
from hashwacht.matching.matcher_set import ConfiguredMatcher, MatcherSet
from hashwacht.matching.services.factory import (
    AnyService,
    ServiceMatcherFactory,
    build_courier_matcher,
)
from hashwacht.pipeline import Pipeline
from hashwacht.secrets import SecretSources
from hashwacht.settings import HashlistSettings, MatcherSettings, Settings
from hashwacht.storage.store import Store
from hashwacht.uploads.partial import PartialUploadLog
from hashwacht.walk.rules import BUILT_IN as BUILT_IN_RULES
from hashwacht.walk.rules import ExclusionRules, literal_rule, parse_rules

if TYPE_CHECKING:
    from hashwacht.cases.factory import CaseServices
    from hashwacht.hashing.workers.pool import WorkerPool
    from hashwacht.matching.hashlists.manager import HashLists
    from hashwacht.quarantine.vault import Vault


def jobs(settings: Settings) -> int:
    """How many contents to fingerprint at the same time: as configured, else one per core."""
    return settings.scan.jobs or len(os.sched_getaffinity(0))


def store(settings: Settings) -> Store:
    """Open the state.  Raises StorageError."""
    return Store.open(settings.state.path)


def uploads(settings: Settings) -> UploadContextStore:
    """Say where it is kept what requests told about uploads."""
    return UploadContextStore(settings.state.path / "uploads")


def audit_log(settings: Settings) -> AuditLog:
    """Give the log of every act.  It need not be there."""
    return AuditLog(settings.state.path / AUDIT_FILE_NAME)


def vault(settings: Settings) -> Vault:
    """Give the vault that files are sealed into.  It need not be there."""
    from hashwacht.quarantine.vault import Vault

    return Vault(settings.quarantine.vault, settings.quarantine.recipients)


def case_services(
    settings: Settings, store: Store, who: str, *, logs: bool = False
) -> CaseServices:
    """Put together what follows from verdicts and decisions; *who* stands in the audit log.

    *logs*: notices stand in this process's log as well.
    """
    from hashwacht.cases.case_lock import FILE_NAME, CaseLock
    from hashwacht.cases.factory import CaseServices, with_logging
    from hashwacht.cases.file_actions import VaultFileActions
    from hashwacht.cases.ledger import Ledger
    from hashwacht.quarantine.hold import FileHolder

    held = FileHolder(settings.state.path / "holds", settings.hold.method, settings.hold.command)
    told: Callable[[Notice], None] = partial(store.outbox.record, channels=settings.alerts.channels)
    told = with_logging(told) if logs else told
    return CaseServices(
        ledger=Ledger(store, audit_log(settings), told, uploads(settings), time.time, who),
        file_actions=VaultFileActions(vault(settings), held),
        lock=CaseLock(settings.state.path / FILE_NAME),
        roots={root.name: root for root in settings.roots},
        guard=settings.action_limits,
    )


def partial_uploads(settings: Settings) -> PartialUploadLog:
    """Say where it is noted that files come in parts."""
    return PartialUploadLog(settings.state.path / "partial-uploads")


def hash_lists(settings: Settings) -> HashLists:
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
    return signal_types(
        {*BUILT_IN, *settings.fingerprint.always_compute} - (programs - {*BUILT_IN})
    )


def secret_sources(settings: Settings, environment: Mapping[str, str]) -> SecretSources:
    """Say where credentials are looked for."""
    return SecretSources(settings.credentials.directory, settings.credentials.keyring, environment)


def rules(
    settings: Settings, options: Sequence[str] = (), source: str = "configuration"
) -> ExclusionRules:
    """Put the rules together: built in, our own directories, configured, given with the command."""
    own = os.fsencode(settings.state.path.absolute())
    return ExclusionRules(
        [
            *BUILT_IN_RULES,
            literal_rule(own, "Hashwacht's own state"),
            *parse_rules(settings.scan.exclude, source),
            *parse_rules(options, "--exclude"),
        ]
    )


def plan(settings: Settings, accepted: Collection[str], *, quick: bool = False) -> Plan:
    """Say what to compute: what some matcher accepts and we can, and what is always wanted.

    A type that a matcher accepts and nobody here can compute is left out: it is the business
    of ``doctor`` to say so.
    """
    chosen = settings.fingerprint
    commands = [name for name, _ in chosen.commands]
    computable = {*BUILT_IN, *commands, *(e.name for e in entry_points(group=ENTRY_POINT_GROUP))}
    wanted = {*chosen.always_compute, *commands, *(computable & set(accepted))}
    ordered = [*(name for name in BUILT_IN if name in wanted), *sorted(wanted - set(BUILT_IN))]
    return Plan(
        types=tuple(ordered),
        limits=Limits(
            max_pixels=chosen.limits.max_pixels,
            max_frames=chosen.limits.max_frames,
            max_picture_size=chosen.limits.max_picture_size,
            timeout=chosen.limits.timeout,
            max_memory=chosen.limits.max_memory,
        ),
        orientations=chosen.orientations,
        commands=chosen.commands,
        quick=quick,
    )


def panel(settings: Settings, environment: Mapping[str, str]) -> MatcherSet:
    """Build all matchers.  Raises ConfigurationError, CredentialError."""
    services = ServiceMatcherFactory(secret_sources(settings, environment))
    return MatcherSet([_seat(each, settings, services.build) for each in settings.matchers])


def scanner_panel(settings: Settings) -> MatcherSet:
    """Build all matchers for a process without a network: the courier asks the services."""
    ask = partial(build_courier_matcher, socket=courier_socket(settings))
    return MatcherSet([_seat(each, settings, ask) for each in settings.matchers])


def courier_socket(settings: Settings) -> Path:
    """Say where the courier listens."""
    return settings.daemon.runtime_path / "courier.sock"


def _seat(
    matcher: MatcherSettings, settings: Settings, ask: Callable[[AnyService], Matcher]
) -> ConfiguredMatcher:
    """Build one matcher and say how long its answers hold; *ask* builds those of services."""
    if isinstance(matcher, HashlistSettings):
        from hashwacht.matching.hashlists.matcher import HashListMatcher

        directory = matcher.directory or settings.state.path / "lists"
        return ConfiguredMatcher(HashListMatcher(directory, matcher.name))
    return ConfiguredMatcher(ask(matcher), matcher.recheck_after)


def fingerprinter(
    settings: Settings,
    accepted: Collection[str],
    crash_log: CrashLog | None = None,
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
        background=settings.scan.low_priority,
        crash_log=crash_log,
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
    settings: Settings, environment: Mapping[str, str], crash_log: CrashLog | None = None
) -> Pipeline:
    """Build the whole path, workers included; the caller closes it."""
    return _pipeline(settings, panel(settings, environment), crash_log)


def scanner_pipeline(settings: Settings, crash_log: CrashLog | None = None) -> Pipeline:
    """Build the whole path for a process without a network, workers included."""
    return _pipeline(settings, scanner_panel(settings), crash_log)


def _pipeline(settings: Settings, matchers: MatcherSet, crash_log: CrashLog | None) -> Pipeline:
    start = partial(fingerprinter, settings, matchers.accepts, crash_log)
    chosen = settings.fingerprint
    if chosen.quick and (chosen.quick_for_services or matchers.supports_quick_hashes):
        return Pipeline(
            QuickThenExact(start(quick=True), start, matchers.needs_exact_hash), matchers
        )
    return Pipeline(start(), matchers)
