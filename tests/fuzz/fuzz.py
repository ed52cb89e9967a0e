"""Fuzz one target with atheris: ``python tests/fuzz/fuzz.py wire 75`` (seconds).

``make fuzz`` takes each of them in turn, five minutes in all.  It begins with the seeds beside
this file and keeps what it learns in build/fuzz.  What breaks a promise ends it with the input
in a file ``crash-…``: put that into the target's seeds, where every run of the tests tries it.
Not named ``test_…``: atheris is of the dependency group ``fuzz``, which ``make test`` needs not.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LEARNED = HERE.parents[1] / "build" / "fuzz"


def main(name: str, seconds: int) -> None:
    """Run until the time is over or a promise is broken."""
    atheris: Any = import_module("atheris")  # of a dependency group of its own
    sys.path.insert(0, str(HERE))
    with atheris.instrument_imports(
        include=["hashwacht", "hashwacht_plugins", "python_multipart", "json", "csv", "tomllib"]
    ):
        targets = import_module("targets").TARGETS
    learned = LEARNED / name
    learned.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-rss_limit_mb=2048", "-timeout=10"]
    prefix = f"-artifact_prefix={learned.parent}/"
    atheris.Setup(
        [sys.argv[0], *options, prefix, str(learned), str(HERE / "seeds" / name)], targets[name]
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
