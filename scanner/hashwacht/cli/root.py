"""``hashwacht`` itself: which commands there are, and in which file each one is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import click

from hashwacht import __version__
from hashwacht.cli.click_ext import Example, Group

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "daemon": "Watch directories: ask about every file that comes in, and act upon the answer.",
        "status": "Say if this machine is protected, and what the daemon is doing.",
        "scan": "Scan existing storage against the configured matchers.",
        "recheck": "Ask again about stored fingerprints whose answers are no longer good enough.",
        "scans": "List scans and rechecks with their state and figures.",
        "check": "Give the verdict on files, for scripts.",
        "hash": "Print the signals of files: digests, and picture hashes with their quality.",
        "explain": "Say whether paths would be scanned, and which rule decides it.",
        "cases": "List and show cases, restore, release and destroy their files, and write notes.",
        "flood": "List what the flood guard holds, and let it go or stand down.",
        "quarantine": "Make the key for quarantine, list and verify what is sealed.",
        "audit": "Show and verify the audit log, and make checkpoints to keep elsewhere.",
        "alerts": "Try if alerts arrive, and list which did.",
        "lists": "Import, show, change, remove and verify local hash lists.",
        "credentials": "Store, check and forget the credentials of matching services.",
        "config": "Show, check and explain the configuration.",
        "units": "Say which systemd drop-ins the configuration needs, and write them.",
        "doctor": "Look at configuration, permissions, limits, lists, matchers and decoders.",
        "demo": "Show the main job on harmless pictures: no account, no network.",
        "completion": "Print the completion script of a shell.",
    }
)
"""In the order of the help, each with the first sentence of its own help, so that neither the
help nor a completion has to import all of them.  NAME is ``NAME_command`` in ``cli/NAME.py``.
"""

HIDDEN = ("man",)
"""For those who build packages."""


@click.group(
    cls=Group,
    lazy={name: f"hashwacht.cli.{name}:{name}_command" for name in (*COMMANDS, *HIDDEN)},
    summaries=COMMANDS,
    examples=(
        Example("hashwacht lists import police known.csv", "Import a hash list named police."),
        Example("hashwacht scan /srv/www", "Scan a directory; go on where it was interrupted."),
        Example("hashwacht recheck", "Ask again with the stored fingerprints; no disk is read."),
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="hashwacht", message="%(prog)s %(version)s")
def root() -> None:
    """Find known child sexual abuse material on a host, without any content leaving it."""
