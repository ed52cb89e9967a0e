"""The ``hashwacht`` command: its subcommands, and the exit code for every way they end."""

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
        "status": "Show whether this host is protected, and what the daemon is doing.",
        "scan": "Scan existing storage against the configured matchers.",
        "recheck": "Look up stored fingerprints again; no file is read.",
        "scans": "List scans and rechecks with state and figures.",
        "check": "Print the verdict on files, for scripts.",
        "hook": "Check one upload for a server or panel, with the answer that it expects.",
        "hash": "Print the signals of files: digests, and picture hashes with their quality.",
        "compare": "Show how near two pictures are, and which hash decides whether they match.",
        "explain": "Show whether paths would be scanned, and which rule decides.",
        "cases": "List and show cases; restore, release or destroy their files; add notes.",
        "reports": "Draft, approve and export reports about cases; record what was sent.",
        "undetermined": "List undetermined contents; accept what cannot be judged.",
        "limits": "List actions paused by the action limit; approve or discard them.",
        "quarantine": "Generate the key pair for quarantine; list and verify sealed files.",
        "audit": "Show and verify the audit log; print checkpoints to store elsewhere.",
        "backup": "Copy storage and audit log as of one moment, while the daemon is running.",
        "alerts": "Send a test alert; list recent deliveries.",
        "lists": "Import, update, show, change, remove and verify local hash lists.",
        "credentials": "Store, check and remove the credentials of matching services.",
        "gateway": "Create tokens for the HTTP API, and test the clamd socket.",
        "config": "Show, check and explain the configuration.",
        "roots": "Show the roots, and find those of a hosting panel.",
        "units": "Show the systemd drop-ins that the configuration needs, and write them.",
        "doctor": "Check configuration, permissions, limits, lists, matchers and decoders.",
        "completion": "Print the completion script for a shell.",
    }
)
"""The commands in the order of the help, each with the first sentence of its own help: the help and
shell completion do not import them.  NAME is ``NAME_command`` in ``cli/commands/NAME.py``.
"""


@click.group(
    cls=Group,
    lazy={name: f"hashwacht.cli.commands.{name}:{name}_command" for name in COMMANDS},
    summaries=COMMANDS,
    examples=(
        Example(
            "hashwacht lists import police known.csv", "Import a hash list and name it police."
        ),
        Example("hashwacht scan /srv/www", "Scan a directory, or resume its interrupted scan."),
        Example("hashwacht recheck", "Look up stored fingerprints again after importing a list."),
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="hashwacht", message="%(prog)s %(version)s")
def root() -> None:
    """Find known child sexual abuse material (CSAM) on this host; only hashes are sent out."""


NAME = "hashwacht"

COMPLETION = "_HASHWACHT_COMPLETE"
"""The environment variable of completion scripts, named as click expects."""

ISSUES = "https://github.com/hashwacht/hashwacht/issues"


def run(command: click.Command, arguments: Sequence[str]) -> ExitCode:
    """Run *command* with *arguments*, print an error if it fails, and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal's encoding lacks is escaped instead of raising.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # both are text files
    as_json = "--json" in arguments
    try:
        exit_code = _invoke(command, arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        return _pipe_closed()
    except (KeyboardInterrupt, click.Abort):
        return _print_error("interrupted", "", ExitCode.INTERRUPTED, as_json=as_json)
    except click.ClickException as error:
        return _print_error(
            error.format_message(), _try_help(error), ExitCode.ERROR, as_json=as_json
        )
    except HashwachtError as error:
        return _print_error(error.message, error.advice, error.exit_code, as_json=as_json)
    except Exception as error:  # noqa: BLE001  # law 2: unanswered is undetermined
        return _unexpected(error, verbose=_is_verbose(arguments), as_json=as_json)
    return ExitCode(exit_code)


def _invoke(command: click.Command, arguments: Sequence[str]) -> int:
    """Answer a completion request of a shell, or run the command.

    Replaces ``main`` of click, which exits with 1 when a pipe is closed: that would mean MATCH.
    """
    if instruction := os.environ.get(COMPLETION):
        return shell_complete(command, {}, NAME, COMPLETION, instruction)
    try:
        with command.make_context(NAME, list(arguments)) as context:
            return command.invoke(context) or 0
    except click.exceptions.Exit as request:
        return request.exit_code


def _print_error(message: str, advice: str, code: ExitCode, *, as_json: bool) -> ExitCode:
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


def _system_error(error: OSError, *, as_json: bool) -> ExitCode:
    """Print what the system refused for a file."""
    name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    advice = "Check the path and the file system it is on."
    if isinstance(error, PermissionError):
        user = f"this command runs as user {os.geteuid()} with HOME={os.environ.get('HOME', '')}"
        advice = (
            f"Run it as the user that owns the files ({user}), or name others with --config and"
            " --state-dir."
        )
    return _print_error(f"{name}: {error.strerror}", advice, ExitCode.ERROR, as_json=as_json)


def _unexpected(error: Exception, *, verbose: bool, as_json: bool) -> ExitCode:
    """Print an internal error, with the traceback if *verbose*.

    An error of the system about a file is not our bug.
    """
    if isinstance(error, OSError) and error.filename is not None and not verbose:
        return _system_error(error, as_json=as_json)
    problem = f"{type(error).__name__}: {error}"
    if verbose:
        line(escape_lines("".join(traceback.format_exception(error))), to=sys.stderr)
    advice = (
        f"This is a bug in Hashwacht {__version__}. Please report it at {ISSUES} with the command"
        " and its output with -v; remove hashes and confidential paths first."
    )
    return _print_error(f"internal error: {problem}", advice, ExitCode.ERROR, as_json=as_json)


def _is_verbose(arguments: Sequence[str]) -> bool:
    return any(argument in {"-v", "--verbose"} for argument in arguments)


def _pipe_closed() -> ExitCode:
    """Exit without a message, as after ``| head``; not with 0, as the output is incomplete.

    The interpreter flushes standard output again when it exits: that goes to the null device.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
    return ExitCode.ERROR
