"""Alerts about hash lists that are stale: once each, and once when they are current again."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from hashwacht.audit.log import AuditLog
from hashwacht.core.notice import Notice, NoticeKind
from hashwacht.daemon.status.reporter import LIST_INTERVAL, GapReporter
from hashwacht.matching.hashlists.update_state import UpdateRecord, store_record
from hashwacht.settings import ListSourceSettings
from hashwacht.storage.store import Store
from support.clock import Clock

SOURCE = ListSourceSettings("police", Path("/srv/lists"), max_age=86_400.0)


def test_a_stale_list_is_alerted_once_until_it_is_current(tmp_path: Path) -> None:
    clock, lists = Clock(), tmp_path / "lists"
    notices: list[Notice] = []
    with closing(Store.open(tmp_path / "state")) as store:
        audit = AuditLog(tmp_path / "audit.jsonl")
        reporter = GapReporter(store, audit, notices.append, clock)

        def check(record: UpdateRecord | None = None) -> list[str]:
            if record is not None:
                store_record(lists, "police", record)
            notices.clear()
            clock.now += LIST_INTERVAL
            reporter.check_lists(lists, [SOURCE])
            assert all(notice.kind is NoticeKind.OUTAGE for notice in notices)
            return [notice.summary for notice in notices]

        assert check() == ["hash list police is stale: never imported"]
        assert check() == []
        current = UpdateRecord(clock.now, clock.now, clock.now)
        assert check(current) == ["hash list police is up to date again"]
        assert check() == []
        clock.now += 2 * 86_400
        (summary,) = check(current.after(clock.now, "no route to host"))
        assert summary.startswith("hash list police is stale: last brought up to date")
        assert summary.endswith("(no route to host)")
        notices.clear()
        reporter.check_lists(lists, [SOURCE])
        reporter.check_lists(lists, [])
        assert notices == []
