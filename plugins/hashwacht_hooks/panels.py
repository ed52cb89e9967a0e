"""The hooks of hosting panels: the file managers of cPanel and DirectAdmin."""

from __future__ import annotations

import os

from hashwacht_hooks.client import UNDETERMINED, Options, Verdict, check, log, write
from hashwacht_hooks.servers import file_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CPANEL_PROGRAM = "/usr/local/cpanel/3rdparty/bin/hashwacht-upload"
"""Where cPanel requires its scripts to be; docs/clients/cpanel.md creates this one."""


def directadmin(options: Options, arguments: list[str]) -> int:
    """Check the file of file_manager_upload_pre; a text and 1 cancel the upload."""
    environment = os.environ
    options.facts = {
        "user": environment.get("username", ""),
        "address": environment.get("caller_ip", ""),
        **options.facts,
    }
    verdict = check(environment.get("file") or file_of(arguments), options)
    if options.passes(verdict):
        return 0
    write(f"{verdict.text}\n")
    return 1


def cpanel(options: Options, arguments: list[str]) -> int:
    """Describe the hooks, or check the files of the event on standard input."""
    import json

    if "--describe" in arguments:
        write(json.dumps(cpanel_hooks()) + "\n")
        return 0
    with os.fdopen(0, "rb", closefd=False) as stream:
        event = json.loads(stream.read())
    options.facts = {"user": str(event["data"].get("user", "")), **options.facts}
    verdicts = []
    for name, path in uploaded_files(event["data"]):
        options.facts["name"] = name
        verdicts.append(check(path, options))
    if not verdicts:
        log("cpanel: the event names no uploaded file")
        verdicts = [Verdict(UNDETERMINED, "unreadable")]
    for verdict in verdicts:
        if not options.passes(verdict):
            write(f"0 BAILOUT {verdict.text}\n")
            return 0
    write("1 OK\n")
    return 0


def cpanel_hooks() -> list[dict[str, object]]:
    """Return the description that ``manage_hooks add script`` reads."""
    events = ("UAPI::Fileman::upload_files", "Api2::Fileman::uploadfiles")
    common = {"category": "Cpanel", "stage": "pre", "blocking": 1, "exectype": "script"}
    return [{**common, "event": event, "hook": CPANEL_PROGRAM} for event in events]


def uploaded_files(data: object) -> Iterable[tuple[str, str]]:
    """Yield name and path of the temporary files, which are the values of keys ``file-NAME``."""
    if isinstance(data, dict):
        for key, value in data.items():
            if key.startswith("file-") and isinstance(value, str) and value.startswith("/"):
                yield key[5:], value
            else:
                yield from uploaded_files(value)
    elif isinstance(data, list):
        for value in data:
            yield from uploaded_files(value)


HOOKS: dict[str, Callable[[Options, list[str]], int]] = {
    "directadmin": directadmin,
    "file_manager_upload_pre.sh": directadmin,
    "cpanel": cpanel,
}
"""DirectAdmin prescribes the name of its program."""
