"""The programs of LMD (maldet) and cxs that servers are configured to run, by their own names."""

from __future__ import annotations

import os
import sys

from hashwacht_hooks.client import MATCH, Options, UsageError, check, write
from hashwacht_hooks.servers import file_of, ftp, modsecurity, print_decision

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


MODES = {"modsec", "ftp", "proftpd", "exim", "generic"}


def maldet(options: Options, arguments: list[str]) -> int:
    """Answer as hookscan.sh of LMD 1.6 and 2: ``[MODE] FILE``, or a list of files with generic."""
    mode = "ftp" if "UPLOAD_VUSER" in os.environ else "modsec"
    if arguments and arguments[0] in MODES:
        mode = arguments.pop(0)
    if mode == "modsec":
        return print_decision(options, file_of(arguments), "maldet")
    if mode in {"ftp", "proftpd"}:
        return ftp(options, arguments)
    if mode == "exim":
        raise UsageError("mail is not checked: lists contain files, and a message is none of them")
    try:
        return max(print_status(path, options) for path in listed_files(arguments))
    except (OSError, UsageError) as error:
        write(f"ERROR: {error}\n")
        return 1


def listed_files(arguments: list[str]) -> list[str]:
    """Return the files that hookscan.sh generic is asked about.  Raises UsageError."""
    if arguments[:1] == ["--stdin"]:
        lines = sys.stdin.buffer.read().splitlines()
    elif arguments[:1] == ["--list"]:
        with open(file_of(arguments[1:]), "rb") as file:  # noqa: PTH123
            lines = file.read().splitlines()
    else:
        return [file_of(arguments)]
    paths = [os.fsdecode(line) for line in lines if line]
    if not paths:
        raise UsageError("the list is empty")
    return paths


def print_status(path: str, options: Options) -> int:
    """Print the line of hookscan.sh generic for a file: 0 clean, 1 error, 2 infected."""
    verdict = check(path, options)
    if verdict.outcome == MATCH:
        write(f"INFECTED: {verdict.name} {path}\n")
        return 2
    if options.passes(verdict):
        write(f"CLEAN: {path}\n")
        return 0
    write(f"ERROR: {verdict.reason} {path}\n")
    return 1


def cxswatch(_options: Options, _arguments: list[str]) -> int:
    """Start the daemon, which watches directories, in place of cxswatch."""
    os.execvp("systemctl", ["systemctl", "start", "hashwacht.target"])  # noqa: S606, S607


HOOKS: dict[str, Callable[[Options, list[str]], int]] = {
    "hookscan.sh": maldet,
    "modsec.sh": maldet,
    "cxscgi.sh": modsecurity,
    "cxsftp.sh": ftp,
    "cxswatch.sh": cxswatch,
}
