"""Running a command and ending well: every way a command can end becomes an exit code here.

``hashwacht`` itself: which commands there are, and in which file each one is.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import click
from click.shell_completion import shell_complete

from hashwacht import __version__
from hashwacht.cli.click_ext import Example, Group
from hashwacht.cli.output import emit, escape_lines, line
from hashwacht.core.errors import ExitCode, HashwachtError

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "daemon": "Watch directories, check every new file, and act on matches.",
        "status": "Show whether this machine is protected, and what the daemon is doing.",
        "scan": "Scan existing storage against the configured matchers.",
        "recheck": "Look up stored fingerprints again; no disk is read.",
        "scans": "List scans and rechecks with state and figures.",
        "check": "Print the verdict on files, for scripts.",
        "hash": "Print the signals of files: digests, and picture hashes with their quality.",
        "explain": "Show whether paths would be scanned, and which rule decides.",
        "cases": "List and show cases; restore, release or destroy their files; add notes.",
        "limits": "List actions paused by the action limit; approve or discard them.",
        "quarantine": "Make the key for quarantine, list and verify what is sealed.",
        "audit": "Show and verify the audit log, and make checkpoints to keep elsewhere.",
        "alerts": "Send a test alert; list recent deliveries.",
        "lists": "Import, show, change, remove and verify local hash lists.",
        "credentials": "Store, check and remove the credentials of matching services.",
        "config": "Show, check and explain the configuration.",
        "units": "Show the systemd drop-ins that the configuration needs, and write them.",
        "doctor": "Check configuration, permissions, limits, lists, matchers and decoders.",
        "completion": "Print the completion script of a shell.",
    }
)
"""In the order of the help, each with the first sentence of its own help, so that neither the
help nor a completion has to import all of them.  NAME is ``NAME_command`` in
``cli/commands/NAME.py``.
"""


@click.group(
    cls=Group,
    lazy={name: f"hashwacht.cli.commands.{name}:{name}_command" for name in COMMANDS},
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
    """Find known child sexual abuse material (CSAM) on this host; only hashes leave it."""


NAME = "hashwacht"

COMPLETION = "_HASHWACHT_COMPLETE"
"""The variable through which a completion script asks; click's rule for a program of our name."""

ISSUES = "https://github.com/hashwacht/hashwacht/issues"


def run(command: click.Command, arguments: Sequence[str]) -> ExitCode:
    """Run *command* with *arguments*; returns how it ended, after telling about it."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a letter gets an escape, not a traceback.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # both are text files
    as_json = "--json" in arguments
    try:
        ended = _invoke(command, arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_gone()
    except (KeyboardInterrupt, click.Abort):
        return _tell("interrupted", "", ExitCode.INTERRUPTED, as_json=as_json)
    except click.ClickException as error:
        return _tell(error.format_message(), _try_help(error), ExitCode.ERROR, as_json=as_json)
    except HashwachtError as error:
        return _tell(error.message, error.advice, error.exit_code, as_json=as_json)
    except Exception as error:  # noqa: BLE001  # law 2: unanswered is undetermined
        return _unexpected(error, verbose=_is_verbose(arguments), as_json=as_json)
    return ExitCode(ended)


def _invoke(command: click.Command, arguments: Sequence[str]) -> int:
    """Complete what a shell asks to be completed, or run the command.

    In place of click's own ``main``, which ends with 1 when a pipe is closed: that is MATCH.
    """
    if instruction := os.environ.get(COMPLETION):
        return shell_complete(command, {}, NAME, COMPLETION, instruction)
    try:
        with command.make_context(NAME, list(arguments)) as context:
            return command.invoke(context) or 0
    except click.exceptions.Exit as ended:
        return ended.exit_code


def _tell(message: str, advice: str, code: ExitCode, *, as_json: bool) -> ExitCode:
    """Print the error and its advice on standard error."""
    if as_json:
        fields = {"message": message, "advice": advice, "exit_code": int(code)}
        emit("error", fields, to=sys.stderr)
    else:
        line(escape_lines(f"hashwacht: {message}"), to=sys.stderr)
        if advice:
            line(escape_lines(advice), to=sys.stderr)
    return code


def _try_help(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"See `{context.command_path} --help`." if context is not None else ""


def _unexpected(error: Exception, *, verbose: bool, as_json: bool) -> ExitCode:
    """Confess a mistake of ours, briefly; all of it if somebody wants to see it."""
    what = f"{type(error).__name__}: {error}"
    if verbose:
        line(escape_lines("".join(traceback.format_exception(error))), to=sys.stderr)
    advice = (
        f"This is a mistake in Hashwacht {__version__}. Please report it at {ISSUES} with the"
        " command and the output of the same command with -v; leave out any hash and any path"
        " that is not yours to tell."
    )
    return _tell(f"unexpected error: {what}", advice, ExitCode.ERROR, as_json=as_json)


def _is_verbose(arguments: Sequence[str]) -> bool:
    return any(each in {"-v", "--verbose"} for each in arguments)


def _reader_gone() -> ExitCode:
    """End quietly, as after ``| head``; not with 0, for not all was said.

    The interpreter flushes standard output once more when it exits: that goes nowhere.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return ExitCode.ERROR
