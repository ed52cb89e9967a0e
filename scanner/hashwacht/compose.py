"""The one place that builds the parts from the settings.  Whoever runs Hashwacht starts here."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from hashwacht.errors import CredentialError
from hashwacht.fingerprint.later import Later
from hashwacht.fingerprint.plan import Limits, Plan
from hashwacht.intake.rules import BUILT_IN as BUILT_IN_RULES
from hashwacht.intake.rules import Rules, literally, read_rules
from hashwacht.match.panel import Panel, Seat
from hashwacht.pipeline import Pipeline
from hashwacht.ports import Culprits, Decisive, Matcher, SignalType
from hashwacht.secrets import Credential, Places, find
from hashwacht.settings import (
    ArachnidSettings,
    EokmSettings,
    HashlistSettings,
    HmaSettings,
    MatcherSettings,
    ServiceSettings,
    Settings,
)
from hashwacht.signal_types import BUILT_IN, ENTRY_POINT_GROUP, signal_types
from hashwacht.state.store import Store
from hashwacht.types import QUICK_BITS, Signal
from hashwacht.uploads import Uploads

if TYPE_CHECKING:
    from hashwacht.fingerprint.pool import WorkerPool
    from hashwacht.match.client import Client
    from hashwacht.match.lists import HashLists
    from hashwacht.match.loop import LoopThread
    from hashwacht.match.service import Patience


def jobs(settings: Settings) -> int:
    """How many contents to fingerprint at the same time: as configured, else one per core."""
    return settings.scan.jobs or len(os.sched_getaffinity(0))


def store(settings: Settings) -> Store:
    """Open the state.  Raises StateError."""
    return Store.open(settings.state.path)


def uploads(settings: Settings) -> Uploads:
    """Say where it is kept what requests told about uploads."""
    return Uploads(settings.state.path / "uploads")


def lists(settings: Settings) -> HashLists:
    """Give the hash lists that the first matcher of that kind answers from."""
    from hashwacht.match.lists import HashLists

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
    build = _Building(settings, environment)
    return Panel([build.seat(each) for each in settings.matchers])


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
    from hashwacht.fingerprint.pool import WorkerPool

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
    seats = panel(settings, environment)
    quick = may_be_quick(settings, seats)
    exact = Later(lambda: fingerprinter(settings, seats.accepts, culprits)) if quick else None
    first = fingerprinter(settings, seats.accepts, culprits, quick=quick)
    return Pipeline(first, seats, exact=exact)


class _Building:
    """Builds matchers; services share one loop thread, which is made when first needed."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._places = places(settings, environment)
        self._loop: LoopThread | None = None

    def seat(self, settings: MatcherSettings) -> Seat:
        """Build one matcher and say how long its answers hold."""
        if isinstance(settings, HashlistSettings):
            from hashwacht.match.hashlist import HashListMatcher

            directory = settings.directory or self._settings.state.path / "lists"
            return Seat(HashListMatcher(directory, settings.name))
        return Seat(self._service(settings), settings.recheck_after)

    def _service(self, settings: EokmSettings | HmaSettings | ArachnidSettings) -> Matcher:
        from hashwacht.match.arachnid import ArachnidMatcher
        from hashwacht.match.eokm import EokmMatcher
        from hashwacht.match.hma import HmaMatcher

        client = self._connect(settings)
        match settings:
            case EokmSettings():
                return EokmMatcher(
                    settings.name,
                    client,
                    formats=dict(settings.formats),
                    path=settings.path,
                    test_path=settings.test_path,
                    test=settings.test,
                )
            case HmaSettings():
                return HmaMatcher(
                    settings.name,
                    client,
                    signal_types=dict(settings.signal_types),
                    banks=settings.banks,
                    category=settings.category,
                    categories=dict(settings.categories),
                    canary=_signal(settings.canary),
                )
            case ArachnidSettings():
                return ArachnidMatcher(settings.name, client, batch=settings.batch)

    def _connect(self, settings: ServiceSettings) -> Client:
        from hashwacht.match.client import Client
        from hashwacht.match.loop import LoopThread
        from hashwacht.match.retry import Retries
        from hashwacht.match.service import Service

        self._loop = self._loop or LoopThread()
        service = Service(
            base_url=settings.base_url,
            credential=self._credential(settings),
            concurrency=settings.concurrency,
            proxy=settings.proxy,
            ca_file=settings.ca_file,
            client_cert=settings.client_cert,
            client_key=settings.client_key,
            patience=_patience(settings.timeout),
            retries=Retries(attempts=settings.retries + 1),
        )
        return Client(service, self._loop)

    def _credential(self, settings: ServiceSettings) -> Credential | None:
        """Find the credential; a matcher that names one cannot be asked without it."""
        if not settings.credentials:
            return None
        try:
            return find(settings.credentials, self._places)
        except CredentialError as error:
            message = f"matcher {settings.name}: {error.message}"
            raise CredentialError(message, advice=error.advice) from None


def _patience(timeout: float) -> Patience:
    """Let one request with its repetitions take nine times as long as one answer."""
    from hashwacht.match.service import Patience

    return Patience(connect=min(5.0, timeout), read=timeout, request=9 * timeout)


def _signal(text: str) -> Signal | None:
    """Read ``type:value``; empty is none."""
    type_, colon, value = text.partition(":")
    return Signal(type_, value) if colon else None
