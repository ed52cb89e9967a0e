"""Run ``hashwacht daemon`` so that it restarts a killed process at once, however often."""

from __future__ import annotations

import os
import sys

from hashwacht.daemon.entry_points import DaemonRunner
from hashwacht.daemon.supervisor import RestartBackoff
from hashwacht.settings import load

if __name__ == "__main__":
    runner = DaemonRunner(lambda: load(os.environ, uid=os.geteuid()), os.environ)
    sys.exit(runner.run_all(("daemon",), print, RestartBackoff(first=0.05, longest=0.05)))
