"""Directories whose paths exceed the kernel's limit, as the fanotify watcher reports them."""

import os
import signal
from pathlib import Path

import pytest

from hashwacht.core.watch_events import Cause
from hashwacht.watch.fanotify_client import FanotifyWatch
from support.deep import deepened
from support.kernel import may_use_fanotify
from support.watch.watching import watcher_process, watching

pytestmark = pytest.mark.skipif(not may_use_fanotify(), reason="fanotify needs CAP_SYS_ADMIN")


def write(directory: int) -> None:
    os.close(os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=directory))
    os.close(directory)


def test_only_the_root_that_they_are_in_is_missed(socket_path: Path, tmp_path: Path) -> None:
    """Otherwise any customer could trigger a walk of all other roots, once an hour."""
    roots = [tmp_path.resolve() / name for name in ("root", "other", "beside")]
    for path in roots:
        path.mkdir()
    with (
        watcher_process(socket_path),
        watching(FanotifyWatch(socket_path), roots[:2]) as session,
    ):
        write(deepened(roots[2], 25))
        session.wait_until_caught_up()
        assert session.recorder.gaps == []
        write(deepened(roots[1], 25))
        session.wait_until(lambda: bool(session.recorder.gaps))
        session.wait_until_caught_up()
        assert {(missed.root, missed.cause) for missed in session.recorder.gaps} == {
            ("other", Cause.UNLISTED)
        }


def test_many_of_them_do_not_keep_the_watcher_busy(socket_path: Path, tmp_path: Path) -> None:
    """Beyond some thousand directories in a batch, every root may be the one."""
    roots = [tmp_path.resolve() / name for name in ("root", "beside")]
    for path in roots:
        path.mkdir()
    deep = deepened(roots[1], 25)
    inside = []
    for number in range(1000):
        os.mkdir(f"{number}", dir_fd=deep)
        inside.append(os.open(f"{number}", os.O_RDONLY, dir_fd=deep))
    os.close(deep)
    with (
        watcher_process(socket_path) as watcher,
        watching(FanotifyWatch(socket_path), roots[:1]) as session,
    ):
        watcher.send_signal(signal.SIGSTOP)  # so that it reads all events at once
        for directory in inside:
            write(directory)
        watcher.send_signal(signal.SIGCONT)
        session.wait_until(lambda: session.recorder.causes("root") == {Cause.UNLISTED})
        session.wait_until_caught_up()
