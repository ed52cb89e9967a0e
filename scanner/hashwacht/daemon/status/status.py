"""The status, whether the daemon runs or not, from its last health report and the storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass

from hashwacht import bootstrap
from hashwacht.core.errors import ListError, StorageError
from hashwacht.core.paths import to_json
from hashwacht.core.watch_events import Lane
from hashwacht.courier.assignment import is_needed, list_names, service_names
from hashwacht.daemon.status.assess import (
    HealthProblem,
    Protection,
    StorageStatus,
    assess,
    list_problems,
    read_storage_status,
)
from hashwacht.daemon.status.health import STALE_AFTER, Health, HealthFile, Stage
from hashwacht.ipc.client import CourierUnreachable, IpcClient
from hashwacht.ipc.messages import DescribeReply, DescribeRequest
from hashwacht.matching.hashlists.update_state import ListAge, list_ages
from hashwacht.settings import Settings
from hashwacht.storage.gaps import Gap
from hashwacht.storage.store import FILE_NAME, Store

COURIER_TIMEOUT = 2.0
"""Seconds to wait for a busy or hanging courier."""


@dataclass(frozen=True, slots=True)
class Status:
    """Everything known at one moment (*at*, Unix time).

    *health* is None if the daemon has not run since the machine started; *storage* if there is
    none or it could not be read.  *courier* is the reason why the courier is of no use, "" if it
    is reachable, None if nothing needs it.  *lists* are all that are installed or have a source.
    """

    at: float
    settings: Settings
    problems: tuple[HealthProblem, ...]
    health: Health | None
    storage: StorageStatus | None
    courier: str | None = None
    lists: tuple[ListAge, ...] = ()

    @property
    def protection(self) -> Protection:
        """Whether this machine is protected."""
        return Protection.from_problems(self.problems)

    @property
    def is_alive(self) -> bool:
        """Return whether the scanner has written its health lately and its process exists."""
        health = self.health
        return health is not None and not health.is_stale(self.at) and not health.is_gone


def read_status(settings: Settings, now: float, store: Store | None = None) -> Status:
    """Return the status; a part that cannot be read is one of its problems, never an error.

    *store* is the storage if this process has it open already.
    """
    problems: list[HealthProblem] = []
    health = _read_health(settings, problems)
    storage = _read_storage(settings, store, problems)
    courier = _check_courier(settings, problems)
    problems += assess([root.name for root in settings.roots], health, storage, now)
    problems += [*_upload_problems(settings, health), *_gateway_problems(settings, health)]
    lists = _read_lists(settings, problems)
    problems += list_problems(lists, now)
    problems.sort(key=lambda problem: not problem.critical)
    return Status(now, settings, tuple(problems), health, storage, courier, lists)


def _read_lists(settings: Settings, problems: list[HealthProblem]) -> tuple[ListAge, ...]:
    try:
        return tuple(list_ages(bootstrap.lists_directory(settings), settings.lists))
    except ListError as error:
        problems.append(HealthProblem("lists", error.message, error.advice))
        return ()


def _read_health(settings: Settings, problems: list[HealthProblem]) -> Health | None:
    try:
        return HealthFile(settings.daemon.runtime_path).read()
    except OSError as error:
        detail = f"cannot read {settings.daemon.runtime_path}: {error.strerror}"
        advice = "Run this command as the user that runs the daemon."
        problems.append(HealthProblem("status", detail, advice, critical=True))
        return None


def _upload_problems(settings: Settings, health: Health | None) -> Iterator[HealthProblem]:
    """Report that web applications send uploads to a daemon without an upload socket."""
    if health is None or health.stage is not Stage.WATCHING:
        return
    if settings.accepts_uploads and health.upload_connections is None:
        detail = "the running daemon accepts none from web applications"
        advice = "Restart it; under systemd run `hashwacht units --write` first."
        yield HealthProblem("uploads", detail, advice)


def _gateway_problems(settings: Settings, health: Health | None) -> Iterator[HealthProblem]:
    """Report that the configured gateway does not run, or that its sockets are closed."""
    if not settings.gateway.enabled or health is None or health.stage is not Stage.WATCHING:
        return
    report = health.gateway
    if report is None or health.at - report.at > STALE_AFTER:
        advice = "See `journalctl -u hashwacht-gateway`; the programs that ask it are refused."
        yield HealthProblem("gateway", "it has not reported to the scanner lately", advice)
        return
    for front in report.fronts:
        if not front.is_open:
            detail = f"{front.name} refuses connections, as nothing can be checked"
            yield HealthProblem("gateway", detail, "See the problems of matchers.")


def _check_courier(settings: Settings, problems: list[HealthProblem]) -> str | None:
    """Check that the courier is reachable and has the scanner's services and channels."""
    if not is_needed(settings):
        return None
    client = IpcClient(bootstrap.courier_socket(settings))
    try:
        reply = client.call(DescribeRequest(), COURIER_TIMEOUT)
    except CourierUnreachable as error:
        advice = "See `journalctl -u hashwacht-courier`; pending requests are retried."
        problems.append(HealthProblem("courier", error.detail, advice))
        return error.detail
    finally:
        client.close()
    assert isinstance(reply, DescribeReply), "the decoder accepts no other reply"
    served = {*reply.matchers, *reply.channels}
    unknown = [name for name in service_names(settings) if name not in served]
    unknown += [f"lists.{name}" for name in list_names(settings) if name not in reply.lists]
    if unknown:
        detail = f"has no configuration for {', '.join(unknown)}"
        advice = "Reload its configuration: `systemctl reload hashwacht-courier`."
        problems.append(HealthProblem("courier", detail, advice))
    return ""


def _read_storage(
    settings: Settings, store: Store | None, problems: list[HealthProblem]
) -> StorageStatus | None:
    try:
        if store is None and not (settings.state.path / FILE_NAME).exists():
            return None
        with nullcontext(store) if store else bootstrap.store(settings) as opened:
            names = [root.name for root in settings.roots]
            audit_log = bootstrap.audit_log(settings)
            return read_storage_status(opened, audit_log, names, settings.alerts.channels)
    except (StorageError, OSError) as error:
        detail = error.message if isinstance(error, StorageError) else str(error.strerror)
        advice = error.advice if isinstance(error, StorageError) else ""
        problems.append(HealthProblem("storage", detail, advice, critical=True))
        return None


def to_fields(status: Status) -> dict[str, object]:
    """Return the status as the fields of one JSON object; times are Unix seconds."""
    health, storage = status.health, status.storage
    scanner = {"alive": status.is_alive, **asdict(health)} if health else {}
    scanner.pop("roots", None)
    return {
        "at": status.at,
        "protection": status.protection,
        "problems": [asdict(problem) for problem in status.problems],
        "courier": status.courier,
        "scanner": scanner or None,
        "roots": [_root_fields(status, root.name) for root in status.settings.roots],
        "lists": [
            {"name": age.name, "imported_at": age.imported_at, "max_age": age.max_age}
            | asdict(age.record)
            | {"stale": bool(age.stale_reason(status.at))}
            for age in status.lists
        ],
        **(_storage_fields(storage) if storage else {}),
    }


def _root_fields(status: Status, name: str) -> dict[str, object]:
    configured = next(root for root in status.settings.roots if root.name == name)
    known = {} if status.health is None else {root.name: root for root in status.health.roots}
    fields: dict[str, object] = {"name": name, **to_json(bytes(configured.directory))}
    if (root := known.get(name)) is None:
        fields["watch"] = None
    else:
        names = ("watch", "problem", "last_event", "last_canary")
        fields |= {attribute: getattr(root, attribute) for attribute in names}
    if status.storage is not None:
        fields["watched_until"] = status.storage.watched_until.get(name)
        fields["reread_interval"] = status.settings.scan.reread_interval
        fields["last_rescan"] = status.storage.last_rescans.get(name)
        fields["gaps"] = [_gap_fields(gap) for gap in status.storage.gaps if gap.root == name]
    return fields


def _gap_fields(gap: Gap) -> dict[str, object]:
    names = ("id", "cause", "detail", "began", "ended")
    path = to_json(gap.path) if gap.path else {"path": ""}
    return {**{name: getattr(gap, name) for name in names}, **path}


def _storage_fields(storage: StorageStatus) -> dict[str, object]:
    return {
        "queue": {lane_name(lane): asdict(backlog) for lane, backlog in storage.queue.items()},
        "unanswered": asdict(storage.unanswered),
        "undetermined": asdict(storage.undetermined),
        "cases": {state.value: number for state, number in storage.cases.items()},
        "case_files": {state.value: number for state, number in storage.case_files.items()},
        "action_limits": [
            {
                "id": limit.id,
                "scope": limit.subject.scope,
                "root": limit.subject.root,
                "began": limit.reached_at,
                "decision": limit.decision,
            }
            for limit in storage.reached_limits
        ],
        "alerts": [asdict(channel) for channel in storage.alerts],
        "audit": asdict(storage.audit),
    }


def lane_name(lane: Lane) -> str:
    """Return the name of a lane in JSON and metrics: ``upload``."""
    return lane.name.lower()
