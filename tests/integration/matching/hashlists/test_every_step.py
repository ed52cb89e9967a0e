"""A process that dies before any single step by which an import changes the file system."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

# Runs alone, with one thread, so that it may fork: each child counts the audit events of the
# interpreter (PEP 578), which precede every open, mkdir, rename, unlink, lock..., and kills
# itself at one of them.
DRIVER = """
import io, json, os, signal, sys
from pathlib import Path
from hashwacht.matching.hashlists.matcher import HashListMatcher
from hashwacht.matching.hashlists.manifest import ListMetadata
from hashwacht.matching.hashlists.manager import HashLists
from hashwacht.core.types import Outcome, Signal

lists = HashLists(Path(sys.argv[1]))
OLD, NEW = Signal("sha1", "aa" * 20), Signal("sha1", "bb" * 20)
STEPS = ("open", "os.", "shutil.", "fcntl.", "tempfile.")

def install(signal, label):
    document = f"sha1,id\\n{signal.value},{label}\\n".encode()
    lists.import_list(io.BytesIO(document), ListMetadata("police"))

def die_at(last):
    seen = 0
    def count(event, arguments):
        nonlocal seen
        if event.startswith(STEPS):
            seen += 1
            if seen == last:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)

def knows(signal):
    [answer] = HashListMatcher(lists.directory).lookup([(signal,)])
    assert answer.outcome in (Outcome.MATCH, Outcome.NO_MATCH), answer
    return answer.outcome is Outcome.MATCH

step, status, states = 0, 1, []
while status:
    step += 1
    install(OLD, "old")
    tidy = len(os.listdir(lists.directory))
    child = os.fork()
    if not child:
        die_at(step)
        install(NEW, "new")
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert all(finding.ok for finding in lists.verify())
    states.append((tidy, knows(OLD), knows(NEW)))
print(json.dumps(states))
"""


def test_death_before_any_step_leaves_one_complete_list(tmp_path: Path) -> None:
    """It is the old list up to one step and the new one after it; the next import tidies up."""
    command = [sys.executable, "-c", DRIVER, str(tmp_path / "lists")]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    states = json.loads(result.stdout)
    assert len(states) > 15, "an import of this list takes more steps"
    assert {tidy for tidy, _, _ in states} == {3}
    old, new = [state[1] for state in states], [state[2] for state in states]
    assert old == sorted(old, reverse=True)
    assert new == [not hash_value for hash_value in old]
    assert set(old) == {True, False}
