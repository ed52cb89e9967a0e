"""Words that reports use for matches and measures, in the three languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from hashwacht.core.types import Match
from hashwacht.reports.facts import ReportedFile
from hashwacht.settings.reports import ReportLanguage
from hashwacht.storage.locations import FileLocation, LocationState

_EN, _NL, _DE = ReportLanguage.ENGLISH, ReportLanguage.DUTCH, ReportLanguage.GERMAN

_EQUAL = {
    _EN: "the {type} hash is equal",
    _NL: "de {type}-hash is gelijk",
    _DE: "der {type}-Hash ist gleich",
}
_NEAR = {
    _EN: "the {type} hash is similar ({distance} of {bits} bits differ)",
    _NL: "de {type}-hash lijkt erop ({distance} van {bits} bits verschillen)",
    _DE: "der {type}-Hash ist ähnlich ({distance} von {bits} Bits verschieden)",
}
_UNKNOWN_DISTANCE = {
    _EN: "the {type} hash is equal or similar",
    _NL: "de {type}-hash is gelijk of lijkt erop",
    _DE: "der {type}-Hash ist gleich oder ähnlich",
}
_BITS = 4
"""Bits of one hexadecimal digit."""

_BLOCKED, _SEALED, _DESTROYED, _AVAILABLE, _GONE = range(5)

_MEASURES: Mapping[LocationState, int] = MappingProxyType(
    {
        LocationState.HELD: _BLOCKED,
        LocationState.QUARANTINED: _SEALED,
        LocationState.DESTROYING: _SEALED,
        LocationState.DESTROYED: _DESTROYED,
        LocationState.GONE: _GONE,
    }
)
_MEASURE_WORDS = {
    _EN: ("access blocked", "removed and preserved encrypted", "destroyed", "in place", "gone"),
    _NL: ("toegang geblokkeerd", "verwijderd en versleuteld bewaard", "vernietigd",
          "ter plaatse", "niet meer aanwezig"),
    _DE: ("Zugriff gesperrt", "entfernt und verschlüsselt aufbewahrt", "vernichtet",
          "noch vorhanden", "nicht mehr vorhanden"),
}  # fmt: skip
_REFUSED = {
    _EN: "the upload was refused",
    _NL: "de upload is geweigerd",
    _DE: "der Upload wurde abgewiesen",
}


def describe_basis(match: Match, language: ReportLanguage) -> str:
    """Return on which hash a match is based, and how near it is."""
    words = {0: _EQUAL, None: _UNKNOWN_DISTANCE}.get(match.distance, _NEAR)[language]
    bits = len(match.signal.value) * _BITS
    return words.format(type=match.signal.type, distance=match.distance, bits=bits)


def describe_measure(location: FileLocation, language: ReportLanguage) -> str:
    """Return what was done about a file."""
    return _MEASURE_WORDS[language][_MEASURES.get(location.state, _AVAILABLE)]


def describe_restriction(files: Sequence[ReportedFile], language: ReportLanguage) -> str:
    """Return what was done about several files, each measure once."""
    if not files:
        return _REFUSED[language]
    measures = (describe_measure(file.location, language) for file in files)
    return ", ".join(dict.fromkeys(measures))
