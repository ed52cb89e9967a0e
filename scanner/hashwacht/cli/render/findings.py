"""Results as text and as JSON, and what each reason for an undetermined verdict means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from hashwacht.core.paths import escape_path, to_json
from hashwacht.core.text import escape_text
from hashwacht.core.types import QUICK, Match, Outcome, Reason, Verdict
from hashwacht.scan.progress import ScanResult
from hashwacht.storage.cases import match_to_json

MEANING: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.UNREADABLE: "The file could not be read; check its permissions and the disk.",
        Reason.CHANGED: "The file changed during both read attempts; the next run tries again.",
        Reason.DAMAGED: "Too damaged to decode; browsers cannot show it either.",
        Reason.OVER_LIMIT: "More pixels, frames or bytes than the limits allow; see"
        " [fingerprint.limits].",
        Reason.NEEDS_EXACT_HASH: "A new list has a similar entry; the next scan reads it again.",
        Reason.NOT_COMPUTED: "A matcher needs a hash that was not computed yet; scan again.",
        Reason.TIMED_OUT: "Decoding took longer than the limits allow; see [fingerprint.limits].",
        Reason.ENCRYPTED: "An archive whose members cannot be read without a password; its digests"
        " were looked up.",
        Reason.OVERLOADED: "Its client sent more uploads than are checked in time; its digests were"
        " looked up.",
        Reason.WORKER_DIED: "Decoding it crashed a worker process; it is not decoded again.",
        Reason.NO_DECODER: "No installed decoder reads all of it; `hashwacht doctor` names missing"
        " ones, docs/formats.md the others.",
        Reason.HASHER_FAILED: "A custom hasher failed or returned no hash.",
        Reason.UNANSWERED: "A matcher gave no usable answer; run `hashwacht recheck` to ask again.",
        Reason.REFUSED: "A service refused the credentials or the query; run `hashwacht doctor`.",
        Reason.NOT_JUDGED: "No configured matcher can judge it; import a hash list"
        " (`hashwacht lists import`) or configure a service.",
        Reason.OTHER_KIND: "Picture hashes do not apply to this kind of file.",
    }
)


WORD_WIDTH = 14
"""Width of the first column: the longest outcome and two spaces."""


MATCHER_WIDE = frozenset({Reason.UNANSWERED, Reason.REFUSED, Reason.NOT_JUDGED})
"""Reasons that say something about a matcher, not about the file that it could not judge."""


def has_own_line(result: ScanResult) -> bool:
    """Return whether the result is worth a line of its own; unanswered files are only counted.

    There may be millions of them when a service is out of reach; the summary counts them.
    """
    verdict = result.verdict
    return verdict.outcome is not Outcome.UNDETERMINED or verdict.reason not in MATCHER_WIDE


def result_lines(result: ScanResult) -> Iterator[str]:
    """Yield one line for each path and list entry: easy to read, easy to grep.

    The path comes last, so that a file's name cannot forge the fields before it.
    """
    verdict = result.verdict
    for path in result.paths or (b"",):
        shown = escape_path(path) if path else f"(content {result.key}, no path today)"
        for text in match_lines(verdict.matches):
            yield f"{'match':{WORD_WIDTH}}{text}  {shown}"
        for text in match_lines(verdict.suppressed):
            yield f"{'suppressed':{WORD_WIDTH}}{text}, {_set_aside(verdict)}  {shown}"
        if verdict.outcome is Outcome.UNDETERMINED:
            yield f"{'undetermined':{WORD_WIDTH}}{describe_reason(verdict)}  {shown}"
        if result.before is Outcome.MATCH and verdict.outcome is not Outcome.MATCH:
            yield f"{'withdrawn':{WORD_WIDTH}}it matched before  {shown}"


def match_lines(matches: Iterable[Match]) -> Iterator[str]:
    """Yield a line for each entry: matcher, category and signal types, never a value of a list."""
    entries: defaultdict[tuple[str, str, str, str, str], list[Match]] = defaultdict(list)
    for match in matches:
        entry = match.category, match.matcher, match.list, match.id, match.member
        entries[entry].append(match)
    for (category, matcher, list_, id_, member), found in entries.items():
        where = f"{matcher}/{list_}" if list_ else matcher
        number = f" #{id_}" if id_ else ""
        by = ", ".join(dict.fromkeys(map(describe_distance, found)))
        inside = f"  in {member}" if member else ""
        yield escape_text(f"{category}  {where}{number}  {by}{inside}")


def describe_distance(match: Match) -> str:
    """Return the signal type and the distance."""
    what = match.signal.variant.removesuffix(QUICK).removesuffix("/")
    variant = f" of {what}" if what else ""
    if match.distance is None:
        return f"{match.signal.type}{variant} near"
    if match.distance == 0:
        return f"{match.signal.type}{variant} equal"
    unit = "bit" if match.distance == 1 else "bits"
    return f"{match.signal.type}{variant} {match.distance} {unit} off"


def describe_reason(verdict: Verdict) -> str:
    """Return why the verdict is undetermined."""
    reason = str(verdict.reason or "unknown")
    return escape_text(f"{reason} ({verdict.detail})" if verdict.detail else reason)


def _set_aside(verdict: Verdict) -> str:
    names = dict.fromkeys(f"{each.matcher}/{each.list}" for each in verdict.suppressed_by)
    return escape_text(f"set aside by {', '.join(names)}")


def to_fields(result: ScanResult) -> dict[str, object]:
    """Return the fields of the JSON object; its type is the outcome, see :func:`kind_of`.

    The first path has the keys ``path`` (and ``path_b64``) as everywhere, all of them are in
    ``paths``, each an object of its own.
    """
    verdict = result.verdict
    fields: dict[str, object] = dict(to_json(result.paths[0])) if result.paths else {}
    fields["paths"] = [to_json(path) for path in result.paths]
    fields |= verdict_fields(verdict)
    fields |= {"kind": result.kind, "size": result.size, "sha256": result.key}
    if result.before is not None:
        fields["before"] = result.before
    return fields


def json_type(verdict: Verdict) -> str:
    """Name the type of a result's JSON object."""
    if verdict.outcome is Outcome.NO_MATCH and verdict.suppressed:
        return "suppressed"
    return str(verdict.outcome)


def verdict_fields(verdict: Verdict) -> dict[str, object]:
    """Return the verdict as JSON fields."""
    fields: dict[str, object] = {
        "outcome": verdict.outcome,
        "matches": [match_to_json(each) for each in verdict.matches],
    }
    if verdict.reason is not None:
        fields |= {"reason": verdict.reason, "detail": verdict.detail}
    if verdict.suppressed:
        fields["suppressed"] = [match_to_json(each) for each in verdict.suppressed]
        fields["suppressed_by"] = [match_to_json(each) for each in verdict.suppressed_by]
    return fields
