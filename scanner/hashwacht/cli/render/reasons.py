"""What each reason for an undetermined verdict means to an operator, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hashwacht.core.types import Reason

MEANING: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.UNREADABLE: "The file system refused to give the file; check permissions and disks.",
        Reason.CHANGED: "Somebody wrote to it during both attempts to read it; the next run tries"
        " again.",
        Reason.DAMAGED: "Too damaged to decode; a browser would show no picture either.",
        Reason.OVER_LIMIT: "More pixels, frames or bytes than the limits allow; see"
        " [fingerprint.limits].",
        Reason.CLOSE_CALL: "A new list has something near it; the next scan reads it and decides.",
        Reason.TIMED_OUT: "It took more time than the limits allow; see [fingerprint.limits].",
        Reason.WORKER_DIED: "The process that decoded it died of it; it is not tried again.",
        Reason.NO_DECODER: "No decoder for this kind is installed; `hashwacht doctor` says which.",
        Reason.HASHER_FAILED: "Your own hasher failed or gave no hash.",
        Reason.UNANSWERED: "A matcher gave no usable answer; `hashwacht recheck` asks again without"
        " reading the disk.",
        Reason.REFUSED: "A service refused the credentials or the question; see"
        " `hashwacht doctor`.",
        Reason.NOT_JUDGED: "No configured matcher can judge it; import a hash list"
        " (`hashwacht lists import`) or configure a service.",
        Reason.OTHER_KIND: "Picture hashes do not apply to it.",
    }
)
