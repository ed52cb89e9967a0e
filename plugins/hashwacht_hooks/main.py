"""The ``hashwacht-hook`` program: find the hook, run it, and exit as its server expects."""

from __future__ import annotations

import sys

from hashwacht_hooks.client import SOCKET, Options, log, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

USAGE = """\
usage: hashwacht-hook HOOK [OPTION ...] [FILE]

hooks: {hooks}

  --socket PATH           upload socket of the daemon (default: {socket})
  --http PATH             use this HTTP socket of the gateway instead
  --on-undetermined WHAT  refuse (default) or pass an upload that could not be checked
  --seconds N             wait at most N seconds for the verdict (default: 8)
  --user NAME, --address ADDRESS, --name NAME, --path PATH
                          what is known of the upload, recorded with the case
  --then PROGRAM          pure-ftpd and proftpd: run PROGRAM afterwards with the same arguments

docs/clients.md describes each hook, the configuration of its server, and the answers.
"""


NAMES = {
    "servers": "modsecurity pure-ftpd proftpd copyparty mediawiki matrix nextcloud exec",
    "panels": "directadmin cpanel file_manager_upload_pre.sh",
    "migration": "hookscan.sh modsec.sh cxscgi.sh cxsftp.sh cxswatch.sh",
}
"""The hooks by their module, of which only one is imported."""


FAILURES = {
    **dict.fromkeys(
        ("modsecurity", "cxscgi.sh", "modsec.sh", "hookscan.sh"), "0 hashwacht: not checked\n"
    ),
    "cpanel": "0 BAILOUT This upload cannot be accepted at the moment.\n",
}
"""What a hook prints if it cannot even begin; with anything else the upload would be accepted."""


def main(arguments: list[str]) -> int:
    """Run the hook that this program is named after, or that the first argument names."""
    name = arguments.pop(0).rpartition("/")[2]
    hook = find(name)
    if hook is None and arguments:
        name = arguments.pop(0)
        hook = find(name)
    if hook is None:
        hooks = " ".join(NAMES.values())
        sys.stderr.write(USAGE.format(hooks=hooks, socket=SOCKET))
        return 2
    options = Options()
    try:
        return hook(options, options.parse(arguments))
    except Exception as error:  # noqa: BLE001  # unanswered is undetermined
        log(f"{name}: {type(error).__name__}: {error}")
        if name in FAILURES:
            write(FAILURES[name])
            return 0
        sys.stderr.write(f"hashwacht-hook {name}: {error}\n")
        return 2


def find(name: str) -> Callable[[Options, list[str]], int] | None:
    """Return the hook of a name; None if there is none."""
    for module, names in NAMES.items():
        if name in names.split():
            hooks = __import__(f"hashwacht_hooks.{module}", fromlist=["HOOKS"]).HOOKS
            hook: Callable[[Options, list[str]], int] = hooks[name]
            return hook
    return None
