"""How the daemon is, put together from what it says of itself and what the state knows.

It can be asked while the daemon is dead: then that is the answer, and since when.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from hashwacht import bootstrap
from hashwacht.core.errors import StorageError
from hashwacht.core.paths import to_json
from hashwacht.core.watch_events import Lane
from hashwacht.courier.process import service_names
from hashwacht.daemon.status.assess import (
    HealthProblem,
    Protection,
    StorageStatus,
    assess,
    protection,
    read_storage_status,
)
from hashwacht.daemon.status.health import Health, HealthFile, RootHealth, Stage
from hashwacht.ipc.client import CourierUnreachable, IpcClient
from hashwacht.ipc.messages import DescribeReply, DescribeRequest
from hashwacht.settings import Settings, UploadMode
from hashwacht.storage.cases import CaseState
from hashwacht.storage.gaps import Gap
from hashwacht.storage.locations import LocationState
from hashwacht.storage.store import FILE_NAME, Store

COURIER_SECONDS = 2.0
"""How long to wait for a courier that is busy or hangs."""


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that there is to say at one moment (*at*, Unix time).

    *health* is None if the daemon has not run since the machine started, *found* if there is no
    state or it could not be read.  *courier* says why the courier is of no use, "" if it is in
    reach, None if nothing needs it.
    """

    at: float
    settings: Settings
    problems: tuple[HealthProblem, ...]
    health: Health | None
    storage: StorageStatus | None
    courier: str | None = None

    @property
    def protection(self) -> Protection:
        """The conclusion."""
        return protection(self.problems)

    @property
    def alive(self) -> bool:
        """Tell if the scanner has said something lately."""
        return self.health is not None and not self.health.is_stale(self.at)


def status(settings: Settings, now: float, store: Store | None = None) -> Status:
    """Look at everything.  Never raises for what it finds: that is part of the answer.

    *store* is the state if this process has it open already.
    """
    told: list[HealthProblem] = []
    health = _health(settings, told)
    found = _situation(settings, store, told)
    courier = _courier(settings, told)
    roots = [root.name for root in settings.roots]
    told += assess(roots, health, found, now)
    told += _uploads(settings, health)
    told.sort(key=lambda remark: not remark.critical)
    return Status(now, settings, tuple(told), health, found, courier)


def _health(settings: Settings, told: list[HealthProblem]) -> Health | None:
    try:
        return HealthFile(settings.daemon.runtime_path).read()
    except OSError as error:
        detail = f"{settings.daemon.runtime_path} cannot be read: {error.strerror}"
        told.append(
            HealthProblem("status", detail, "Ask as the user that runs the daemon.", critical=True)
        )
        return None


def _uploads(settings: Settings, health: Health | None) -> Iterator[HealthProblem]:
    """Say if web applications are to hand over uploads to a scanner that takes none."""
    if (
        health is None
        or health.stage is not Stage.WATCHING
        or health.upload_connections is not None
    ):
        return
    if settings.uploads.mode is UploadMode.DAEMON:
        advice = "Start it anew, under systemd after `hashwacht units --write`."
        yield HealthProblem(
            "uploads", "the running daemon takes none from web applications", advice
        )


def _courier(settings: Settings, told: list[HealthProblem]) -> str | None:
    """Ask the courier if it is there, and for the same services and channels as the scanner."""
    wanted = service_names(settings)
    if not wanted:
        return None
    link = IpcClient(bootstrap.courier_socket(settings))
    try:
        known = link.call(DescribeRequest(), COURIER_SECONDS)
    except CourierUnreachable as error:
        advice = "See `journalctl -u hashwacht-courier`; what it is asked waits."
        told.append(HealthProblem("courier", error.detail, advice))
        return error.detail
    finally:
        link.close()
    assert isinstance(known, DescribeReply), "decoding lets nothing else through"
    if unknown := [name for name in wanted if name not in (*known.matchers, *known.channels)]:
        advice = "Let it read its configuration: `systemctl reload hashwacht-courier`."
        told.append(HealthProblem("courier", f"it does not know {', '.join(unknown)}", advice))
    return ""


def _situation(
    settings: Settings, store: Store | None, told: list[HealthProblem]
) -> StorageStatus | None:
    try:
        if store is not None:
            return _read(settings, store)
        if not (settings.state.path / FILE_NAME).exists():
            return None
        with bootstrap.store(settings) as opened:
            return _read(settings, opened)
    except (StorageError, OSError) as error:
        detail = error.message if isinstance(error, StorageError) else str(error.strerror)
        advice = error.advice if isinstance(error, StorageError) else ""
        told.append(HealthProblem("state", detail, advice, critical=True))
        return None


def _read(settings: Settings, store: Store) -> StorageStatus:
    names = [root.name for root in settings.roots]
    return read_storage_status(
        store, bootstrap.audit_log(settings), names, settings.alerts.channels
    )


def to_fields(status: Status) -> dict[str, object]:
    """Write it as the fields of one JSON object; times are Unix seconds."""
    health, found = status.health, status.storage
    return {
        "at": status.at,
        "protection": status.protection,
        "problems": [asdict(remark) for remark in status.problems],
        "courier": status.courier,
        "scanner": None if health is None else _scanner(health, alive=status.alive),
        "roots": [_root(status, root.name) for root in status.settings.roots],
        **({} if found is None else _found(found)),
    }


def _scanner(health: Health, *, alive: bool) -> dict[str, object]:
    fields = asdict(health)
    del fields["roots"]
    return {"alive": alive, **fields}


def _root(status: Status, name: str) -> dict[str, object]:
    configured = next(root for root in status.settings.roots if root.name == name)
    known = {} if status.health is None else {root.name: root for root in status.health.roots}
    fields: dict[str, object] = {"name": name, **to_json(bytes(configured.directory))}
    fields.update(_watch(known.get(name)))
    if status.storage is not None:
        fields["watched_until"] = status.storage.watched.get(name)
        fields["last_rescan"] = status.storage.walked.get(name)
        fields["gaps"] = [_gap(gap) for gap in status.storage.gaps if gap.root == name]
    return fields


def _watch(root: RootHealth | None) -> dict[str, object]:
    if root is None:
        return {"watch": None}
    return {
        "watch": root.watch,
        "problem": root.problem,
        "last_event": root.last_event,
        "last_canary": root.last_canary,
    }


def _gap(gap: Gap) -> dict[str, object]:
    below = {"path": ""} if not gap.path else to_json(gap.path)
    return {
        "id": gap.id,
        "cause": gap.cause,
        "detail": gap.detail,
        "began": gap.began,
        "ended": gap.ended,
        **below,
    }


def _found(found: StorageStatus) -> dict[str, object]:
    return {
        "queue": {lane_name(lane): asdict(pile) for lane, pile in found.lanes.items()},
        "unanswered": asdict(found.unanswered),
        "undetermined": asdict(found.undetermined),
        "cases": _by_name(found.cases),
        "case_files": _by_name(found.places),
        "action_limits": [
            {
                "id": flood.id,
                "scope": flood.subject.scope,
                "root": flood.subject.root,
                "began": flood.reached_at,
                "decision": flood.decision,
            }
            for flood in found.floods
        ],
        "alerts": [asdict(channel) for channel in found.alerts],
        "audit": asdict(found.audit),
    }


def _by_name(counts: Mapping[CaseState, int] | Mapping[LocationState, int]) -> dict[str, int]:
    return {state.value: number for state, number in counts.items()}


def lane_name(lane: Lane) -> str:
    """Name a lane as it is written everywhere: ``upload``."""
    return lane.name.lower()
