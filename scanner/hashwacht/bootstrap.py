"""The composition root: builds every part from the settings, for the command line and daemon."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from hashwacht.audit.log import FILE_NAME as AUDIT_FILE_NAME
from hashwacht.audit.log import AuditLog
from hashwacht.core.notice import Notice
from hashwacht.core.ports import CrashLog, Fingerprinter, Matcher
from hashwacht.core.signals import BUILT_IN, ENTRY_POINT_GROUP, signal_types
from hashwacht.core.types import ArchiveMode
from hashwacht.core.views import VIEWED_TYPE, ViewKind
from hashwacht.hashing import ArchiveLimits, Limits, Plan
from hashwacht.hashing.quick_then_exact import QuickThenExact
from hashwacht.hashing.replanning import ReplanningFingerprinter
from hashwacht.matching.matcher_set import ConfiguredMatcher, MatcherSet
from hashwacht.matching.services.service_matchers import (
    AnyService,
    build_courier_matcher,
    build_service_matcher,
)
from hashwacht.pipeline import Pipeline
from hashwacht.secrets import SecretSources
from hashwacht.settings import HashlistSettings, Settings
from hashwacht.storage.store import Store
from hashwacht.storage.uploads import UploadQuota
from hashwacht.uploads.backend import PartialUploadLog
from hashwacht.walk.rules import BUILT_IN as BUILT_IN_RULES
from hashwacht.walk.rules import ExclusionRules, literal_rule, parse_rules

if TYPE_CHECKING:
    from hashwacht.cases.evidence_check import EvidenceCheck
    from hashwacht.cases.ledger import Ledger
    from hashwacht.cases.service import CaseServices
    from hashwacht.hashing.workers.pool import WorkerPool
    from hashwacht.matching.hashlists.manager import HashLists
    from hashwacht.quarantine.hold import FileHolder
    from hashwacht.quarantine.vault import Vault
    from hashwacht.reports.service import ReportService


def jobs(settings: Settings) -> int:
    """Return how many files to fingerprint in parallel: as configured, else one per core."""
    return settings.scan.jobs or len(os.sched_getaffinity(0))


def store(settings: Settings) -> Store:
    """Open the storage.  Raises StorageError."""
    return Store.open(settings.state.path)


def upload_quota(settings: Settings) -> UploadQuota:
    """Return how much is recorded on behalf of uploaders, and for how long."""
    return UploadQuota(settings.uploads.max_records, settings.uploads.keep_records)


def audit_log(settings: Settings) -> AuditLog:
    """Return the audit log; its file need not exist yet."""
    return AuditLog(settings.state.path / AUDIT_FILE_NAME)


def vault(settings: Settings) -> Vault:
    """Return the vault of the quarantine; its directory need not exist yet."""
    from hashwacht.quarantine.vault import Vault

    return Vault(settings.quarantine.vault, settings.quarantine.recipients)


def file_holder(settings: Settings) -> FileHolder:
    """Return what holds files; its directory need not exist yet."""
    from hashwacht.quarantine.hold import FileHolder

    return FileHolder(settings.state.path / "holds", settings.hold.method, settings.hold.command)


def case_services(
    settings: Settings, store: Store, actor: str, *, logs: bool = False
) -> CaseServices:
    """Build what acts on verdicts and decisions; *actor* is recorded in the audit log.

    With *logs*, notices are written to this process's log as well.
    """
    from hashwacht.cases.file_actions import FileActions
    from hashwacht.cases.ledger import LOCK_FILE_NAME, CaseLock, Ledger, log_notice, with_logging
    from hashwacht.cases.service import CaseServices
    from hashwacht.panels.sites import SiteMap

    holder = file_holder(settings)
    channels = settings.alerts.channels
    notify: Callable[[Notice], None] = partial(store.outbox.record, channels=channels)
    log_only: Callable[[Notice], None] = log_notice if logs else lambda _: None
    notify = with_logging(notify) if logs else notify
    audit = audit_log(settings)
    return CaseServices(
        ledger=Ledger(store, audit, notify, store.uploads, time.time, actor, log_only),
        file_actions=FileActions(vault(settings), holder),
        lock=CaseLock(settings.state.path / LOCK_FILE_NAME),
        roots={root.name: root for root in settings.roots},
        limits=settings.action_limits,
        sites=SiteMap(settings.state.path),
        lists_imported_at=_import_times(settings),
    )


def report_service(settings: Settings, ledger: Ledger) -> ReportService:
    """Build what drafts reports about cases and records what happens to them."""
    from hashwacht.reports.drafting import ReportDrafter
    from hashwacht.reports.service import ReportService

    drafter = ReportDrafter(
        ledger=ledger,
        settings=settings.reports,
        roots={root.name: root for root in settings.roots},
        host=socket.gethostname(),
        new_identifier=lambda: str(uuid.uuid4()),
    )
    return ReportService(ledger, drafter)


def _import_times(settings: Settings) -> Callable[[], Mapping[str, float]]:
    """Return what knows when the local hash lists were imported."""
    from hashwacht.matching.hashlists.update_state import ImportTimes

    matchers = [each for each in settings.matchers if isinstance(each, HashlistSettings)]
    times = [ImportTimes(_directory(settings, matcher), matcher.name) for matcher in matchers]
    return lambda: {name: at for known in times for name, at in known().items()}


def evidence_check(settings: Settings, store: Store | None) -> EvidenceCheck:
    """Build the cross-check of audit log, storage, vault and holds."""
    from hashwacht.cases.evidence_check import EvidenceCheck
    from hashwacht.cases.ledger import LOCK_FILE_NAME, CaseLock

    holder = file_holder(settings)
    lock = CaseLock(settings.state.path / LOCK_FILE_NAME)
    return EvidenceCheck(audit_log(settings), store, vault(settings), holder, lock)


def partial_uploads(settings: Settings) -> PartialUploadLog:
    """Return the log of protocols by which applications receive files in parts."""
    return PartialUploadLog(settings.state.path / "partial-uploads")


def _hashlist_matcher(settings: Settings) -> HashlistSettings:
    """Return the first configured hash list matcher, by default one with the default values."""
    matchers = (each for each in settings.matchers if isinstance(each, HashlistSettings))
    return next(matchers, HashlistSettings("hashlist"))


def lists_directory(settings: Settings) -> Path:
    """Return the directory of the hash lists of the first configured hash list matcher."""
    return _directory(settings, _hashlist_matcher(settings))


def _directory(settings: Settings, matcher: HashlistSettings) -> Path:
    return matcher.directory or settings.state.path / "lists"


def hash_lists(settings: Settings) -> HashLists:
    """Return the hash lists of the first configured hash list matcher."""
    from hashwacht.matching.hashlists.manager import HashLists

    # Lists hold built-in and installed signal types, not those of commands.
    commands = {name for name, _ in settings.fingerprint.commands}
    installed = {*settings.fingerprint.always_compute} - commands
    return HashLists(lists_directory(settings), signal_types({*BUILT_IN, *installed}))


def view_radii(matcher: HashlistSettings) -> dict[ViewKind, int]:
    """Return the views that lists are asked about, and up to how many bits each may match."""
    return {ViewKind(name): radius for name, radius in matcher.views}


def list_view_radii(settings: Settings) -> dict[ViewKind, int]:
    """Return those of the first configured hash list matcher, or the defaults."""
    return view_radii(_hashlist_matcher(settings))


def secret_sources(settings: Settings, environment: Mapping[str, str]) -> SecretSources:
    """Return where credentials are looked up."""
    return SecretSources(settings.credentials.directory, settings.credentials.keyring, environment)


def exclusion_rules(
    settings: Settings, options: Sequence[str] = (), source: str = "configuration"
) -> ExclusionRules:
    """Return all exclusion rules: built-in, Hashwacht's own directory, configured, command line."""
    own = os.fsencode(settings.state.path.absolute())
    built_in = [*BUILT_IN_RULES, literal_rule(own, "Hashwacht's own state")]
    configured = parse_rules(settings.scan.exclude, source)
    return ExclusionRules([*built_in, *configured, *parse_rules(options, "--exclude")])


def plan(settings: Settings, accepted: Collection[str], *, quick: bool = False) -> Plan:
    """Return what to compute: accepted by a matcher and computable, or always computed.

    A type that a matcher accepts and nothing here computes is left out; ``doctor`` reports it.
    """
    chosen = settings.fingerprint
    commands = [name for name, _ in chosen.commands]
    computable = {*BUILT_IN, *commands, *(e.name for e in entry_points(group=ENTRY_POINT_GROUP))}
    wanted = {*chosen.always_compute, *commands, *(computable & set(accepted))}
    ordered = [*(name for name in BUILT_IN if name in wanted), *sorted(wanted - set(BUILT_IN))]
    return Plan(
        types=tuple(ordered),
        limits=Limits(
            max_decoded_memory=chosen.limits.max_decoded_memory,
            max_decoded_pixels=chosen.limits.max_decoded_pixels,
            max_frames=chosen.limits.max_frames,
            max_picture_size=chosen.limits.max_picture_size,
            timeout=chosen.limits.timeout,
            max_memory=chosen.limits.max_memory,
            max_read_time=chosen.limits.max_read_time,
        ),
        views=tuple(map(ViewKind, chosen.views if VIEWED_TYPE in wanted else ())),
        commands=chosen.commands,
        quick=quick,
        archives=chosen.archives,
    )


def matcher_set(settings: Settings, environment: Mapping[str, str]) -> MatcherSet:
    """Build all matchers.  Raises ConfigurationError, CredentialError."""
    build = partial(build_service_matcher, sources=secret_sources(settings, environment))
    return _matcher_set(settings, build)


def scanner_matcher_set(settings: Settings) -> MatcherSet:
    """Build all matchers for a process without network access: services go through the courier."""
    build = partial(build_courier_matcher, socket=courier_socket(settings))
    return _matcher_set(settings, build)


def courier_socket(settings: Settings) -> Path:
    """Return the path of the courier's socket."""
    return settings.daemon.runtime_path / "courier.sock"


def _matcher_set(settings: Settings, build: Callable[[AnyService], Matcher]) -> MatcherSet:
    """Build all matchers with the lifetimes of their answers; *build* builds that of a service."""
    matchers = []
    for matcher in settings.matchers:
        if isinstance(matcher, HashlistSettings):
            from hashwacht.matching.hashlists.matcher import HashListMatcher

            directory = _directory(settings, matcher)
            radii = view_radii(matcher)
            hash_lists = HashListMatcher(directory, matcher.name, view_radii=radii)
            matchers.append(ConfiguredMatcher(hash_lists, views=frozenset(radii)))
        else:
            views = frozenset(map(ViewKind, matcher.views))
            service = build(matcher)
            matchers.append(ConfiguredMatcher(service, matcher.recheck_after, views=views))
    return MatcherSet(matchers)


def fingerprinter(
    settings: Settings,
    accepted: Collection[str],
    crash_log: CrashLog | None = None,
    *,
    quick: bool = False,
) -> WorkerPool:
    """Start the worker processes.  Raises WorkerError, also for an incomplete required sandbox.

    *crash_log* records contents that crash their worker; None keeps it for this process only.
    """
    from hashwacht.hashing.workers.pool import WorkerPool

    pool = WorkerPool(
        plan(settings, accepted, quick=quick),
        jobs(settings),
        background=settings.scan.low_priority,
        crash_log=crash_log,
        require_sandbox=settings.fingerprint.require_sandbox,
    )
    if settings.fingerprint.require_sandbox:
        try:
            _ = pool.layers
        except BaseException:
            pool.close()
            raise
    return pool


def opening_archives(
    settings: Settings, fingerprinter: Fingerprinter, pool: WorkerPool
) -> Fingerprinter:
    """Let *fingerprinter* open archives, with the workers of *pool*, as the settings say."""
    if (mode := settings.fingerprint.archives) is ArchiveMode.OFF:
        return fingerprinter
    from hashwacht.hashing.unpacking import UnpackingFingerprinter

    limits = ArchiveLimits()
    return UnpackingFingerprinter(fingerprinter, pool.unpacker, mode, limits, jobs(settings))


def pipeline(
    settings: Settings, environment: Mapping[str, str], crash_log: CrashLog | None = None
) -> Pipeline:
    """Build a pipeline and start its workers; the caller closes it."""
    return _pipeline(settings, matcher_set(settings, environment), crash_log)


def scanner_pipeline(settings: Settings, crash_log: CrashLog | None = None) -> Pipeline:
    """Build the pipeline of a process without network access, and start its workers."""
    return _pipeline(settings, scanner_matcher_set(settings), crash_log)


def _pipeline(settings: Settings, matchers: MatcherSet, crash_log: CrashLog | None) -> Pipeline:
    chosen = settings.fingerprint
    quick = chosen.quick and (chosen.quick_for_services or matchers.supports_quick_hashes)

    def start(accepted: Collection[str]) -> Fingerprinter:
        exact = partial(fingerprinter, settings, accepted, crash_log)
        pool = exact(quick=quick)
        both = QuickThenExact(pool, exact, matchers.needs_exact_hash) if quick else pool
        return opening_archives(settings, both, pool)

    return Pipeline(ReplanningFingerprinter(lambda: matchers.accepts, start), matchers)
