"""The hooks of servers and applications that run a program for each upload."""

from __future__ import annotations

import os

from hashwacht_hooks.client import MATCH, Options, UsageError, check, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def file_of(arguments: list[str]) -> str:
    """Return the file, the last argument.  Raises UsageError."""
    if not arguments:
        raise UsageError("no file")
    return arguments[-1]


def program(options: Options, arguments: list[str]) -> int:
    """Return 0 for no match, 1 for a match, 2 for undetermined: as clamdscan does."""
    path = file_of(arguments)
    verdict = check(path, options)
    if options.passes(verdict):
        write(f"{path}: OK\n")
        return 0
    write(f"{path}: {verdict.name} {'FOUND' if verdict.outcome == MATCH else 'ERROR'}\n")
    return 1 if verdict.outcome == MATCH else 2


def nextcloud(options: Options, arguments: list[str]) -> int:
    """Check standard input: 1 and a line with FOUND for a match, 50 for unchecked."""
    code = program(options, arguments or ["-"])
    return 50 if code == 2 else code  # noqa: PLR2004  # 40 to 70 are "unchecked" in its rules


def modsecurity(options: Options, arguments: list[str]) -> int:
    """Print one line that begins with 1 (pass) or 0 (block), and return 0 whatever happens."""
    return print_decision(options, file_of(arguments), "hashwacht")


def print_decision(options: Options, path: str, product: str) -> int:
    """Print the line that @inspectFile expects, with the name of a product."""
    verdict = check(path, options)
    if options.passes(verdict):
        write(f"1 {product}: OK\n")
    else:
        write(f"0 {product}: {verdict.name} {path}".replace("\n", "?") + "\n")
    return 0


def ftp(options: Options, arguments: list[str]) -> int:
    """Announce a stored file to the daemon, and go on at once: servers call this in sequence."""
    path, environment = file_of(arguments), os.environ
    user = environment.get("UPLOAD_VUSER") or environment.get("UPLOAD_USER", "")
    options.facts = {"user": user, "path": path, "name": os.path.basename(path), **options.facts}  # noqa: PTH119
    options.waits = False
    check(path, options)
    if options.then:
        os.execv(options.then, [options.then, *arguments])  # noqa: S606
    return 0


def copyparty(options: Options, arguments: list[str]) -> int:
    """Check the file that the JSON of a hook names, or the argument; 1 refuses the upload."""
    path = file_of(arguments)
    if path.startswith("{"):
        import json

        event = json.loads(path)
        path, address, user, name = (str(event.get(key, "")) for key in ("ap", "ip", "user", "vp"))
        options.facts = {"address": address, "user": user, "path": name, **options.facts}
    verdict = check(path, options)
    if options.passes(verdict):
        return 0
    write(f"{verdict.text}\n")
    return 1


HOOKS: dict[str, Callable[[Options, list[str]], int]] = {
    "modsecurity": modsecurity,
    "pure-ftpd": ftp,
    "proftpd": ftp,
    "copyparty": copyparty,
    "mediawiki": program,
    "matrix": program,
    "nextcloud": nextcloud,
    "exec": program,
}
