"""The number of changes of lists and matchers so far, which programs take for a version.

Some clients of a virus scanner check what was uploaded recently again when its version grows, so
the number must never shrink, not even if a list is replaced by an earlier one.
"""

from __future__ import annotations

import json
import logging
import threading
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from hashwacht.platform import atomic

_log = logging.getLogger(__name__)

_LARGEST = (1 << 31) - 1


class RevisionCounter:
    """Counts the changes, in a file of the state directory.  Thread-safe."""

    def __init__(self, path: Path) -> None:
        """Keep number and digest in *path*; one that is missing or damaged begins at 1."""
        self._path, self._lock = path, threading.Lock()
        self._number, self._digest = 0, ""
        with suppress(OSError, ValueError, KeyError, TypeError):
            stored = json.loads(path.read_bytes())
            self._number, self._digest = int(stored["number"]), str(stored["knowledge"])

    def current(self, knowledge_id: str) -> int:
        """Return the number for what all matchers know now; a change is recorded first."""
        digest = sha256(knowledge_id.encode("utf-8", "surrogatepass")).hexdigest()
        with self._lock:
            if digest != self._digest:
                self._number, self._digest = min(self._number + 1, _LARGEST), digest
                record = json.dumps({"number": self._number, "knowledge": digest})
                try:
                    atomic.write(self._path, record.encode())
                except OSError as error:
                    _log.warning("cannot record %s: %s", self._path, error.strerror)
            return self._number
