"""The options and arguments that commands share, and the values that the user gave for them."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from hashwacht.core.errors import CredentialError, UsageError
from hashwacht.core.paths import escape_path
from hashwacht.core.ports import Fingerprinter
from hashwacht.core.types import Fingerprint
from hashwacht.platform.filesystems.mounts import FileSystemScope
from hashwacht.platform.safe_open import open_regular
from hashwacht.settings import Configuration, OptionValue, load
from hashwacht.settings.units import parse_duration

Decorator = Callable[[Any], Any]

STANDARD_INPUT = b"-"


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """The options that every command has."""

    config: Path | None = None
    state_dir: Path | None = None
    verbose: bool = False
    as_json: bool = False

    def configuration(self, *options: OptionValue) -> Configuration:
        """Load the configuration; *options* are options of the command that override a key."""
        if self.state_dir is not None:
            path = str(self.state_dir.absolute())
            options = (*options, OptionValue("state.directory", path, "--state-dir"))
        return load(os.environ, uid=os.geteuid(), file=self.config, options=options)


def global_options() -> GlobalOptions:
    """Return the global options of the running command."""
    meta = click.get_current_context().meta
    return GlobalOptions(**meta.get(__name__, {}))


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Keep an option that is allowed before and after the command name; the last one counts."""
    if value not in (None, False):
        assert parameter.name is not None
        context.meta.setdefault(__name__, {})[parameter.name] = value
    return value


def _option(*names: str, **attributes: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_remember, **attributes)


def common_options() -> list[click.Parameter]:
    """Return the options of every command, in the order of the help."""
    path = click.Path(dir_okay=False, path_type=Path)
    directory = click.Path(file_okay=False, path_type=Path)
    return [
        _option("--config", type=path, metavar="FILE", help="Use this configuration file."),
        _option(
            "--state-dir",
            type=directory,
            metavar="DIRECTORY",
            help="Use this directory for the state and the hash lists.",
        ),
        _option(
            "-v",
            "--verbose",
            is_flag=True,
            help="Print details, and tracebacks of internal errors.",
        ),
    ]


def json_option() -> click.Option:
    """Return the option of every command that has results."""
    return _option(
        "--json", "as_json", is_flag=True, help="Print JSON, one object per line, instead of text."
    )


def number_option(default: int, what: str) -> Decorator:
    """Return the option that limits how many of *what* are listed."""
    return click.option(
        "-n",
        "--number",
        type=click.IntRange(1),
        default=default,
        metavar="N",
        help=f"Show at most N {what}.  [default: {default}]",
    )


def files_argument() -> Decorator:
    """Return the argument for one or more files, as bytes."""
    file = click.Path(path_type=bytes)
    return click.argument("files", metavar="FILE...", nargs=-1, required=True, type=file)


def exclude_option() -> Decorator:
    """Return the option for exclusion rules."""
    return click.option(
        "--exclude",
        multiple=True,
        metavar="PATTERN",
        help="Exclude files that match a .gitignore pattern; !PATTERN includes them again.  May be"
        " repeated.",
    )


def file_systems_option() -> Decorator:
    """Return the options that set which file systems below a path are entered."""

    def decorate(function: Any) -> Any:
        for option, scope, text in (
            ("--one-file-system", FileSystemScope.ONE, "Enter no other file system below PATH."),
            ("--all-file-systems", FileSystemScope.ALL, "Also enter network file systems."),
        ):
            function = click.option(option, "file_systems", flag_value=scope.value, help=text)(
                function
            )
        return function

    return decorate


def yes_option() -> Decorator:
    """Return the option that skips the confirmation."""
    return click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def time_option(*names: str, **attributes: Any) -> Decorator:
    """Return an option for a date, a time or an age, as a Unix time; None if it is not used."""
    return click.option(*names, callback=_parse_time, metavar="TIME", default=None, **attributes)


def _parse_time(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        pass
    try:
        return datetime.now().timestamp() - parse_duration(text)  # noqa: DTZ005  # only a difference
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is neither a date nor an age such as 12h or 7d"
        ) from None


def reason_option(*, required: bool = True) -> Decorator:
    """Return the option for the reason of a decision; empty if it is not *required*."""
    return click.option(
        "--reason",
        required=required,
        default=None if required else "",
        callback=require_text if required else None,
        metavar="TEXT",
        help="The reason for the decision; it is recorded in the audit log.",
    )


def require_text(_: click.Context, parameter: click.Parameter, text: str) -> str:
    """Refuse an empty text.  Raises click.BadParameter."""
    if not text.strip():
        raise click.BadParameter(f"{parameter.human_readable_name} is empty")
    return text


def identity_option() -> Decorator:
    """Return the option for the private keys that open sealed files."""
    return click.option(
        "--identity",
        "identities",
        type=click.Path(allow_dash=True, path_type=Path),
        multiple=True,
        metavar="FILE",
        help="File with the age private key that opens sealed files; - reads standard input.  May"
        " be repeated if files are sealed for different keys.",
    )


def read_identities(files: Iterable[Path]) -> tuple[str, ...]:
    """Read the private keys, in the order of the options.  Raises CredentialError."""
    from hashwacht.quarantine.age import parse_secret_keys

    return tuple(secret for file in files for secret in parse_secret_keys(_read_text(file)))


def identity_missing(alternative: str = "") -> UsageError:
    """Return the error for a missing private key; *alternative* is another way to go on."""
    return UsageError(
        "some files of the case are sealed",
        advice=f"Use --identity FILE with the private key that opens them{alternative}.",
    )


def _read_text(file: Path) -> str:
    try:
        return sys.stdin.read() if os.fsencode(file) == STANDARD_INPUT else file.read_text()
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else "not a text file"
        raise CredentialError(
            f"cannot read {file}: {problem}", advice="Name the file with the private key."
        ) from error


@contextmanager
def open_input(name: bytes) -> Iterator[int]:
    """Open a file for reading at offset 0; ``-`` is standard input, copied to a temporary file.

    Follows a symbolic link, because the caller typed the name.  Never blocks on a FIFO or device.
    Raises OSError.
    """
    if name == STANDARD_INPUT:
        with tempfile.TemporaryFile() as spool:
            shutil.copyfileobj(sys.stdin.buffer, spool)
            spool.seek(0)
            yield spool.fileno()
        return
    fd = open_regular(name)
    try:
        yield fd
    finally:
        os.close(fd)


def fingerprint_input(fingerprinter: Fingerprinter, name: bytes) -> Fingerprint:
    """Return the fingerprint of a file argument.  Raises UsageError if it cannot be read."""
    try:
        with open_input(name) as fd:
            return fingerprinter.fingerprint(fd)
    except OSError as error:
        raise UsageError(
            f"{escape_path(display_name(name))}: {error.strerror or 'cannot be read'}",
            advice="Name a file that you can read.",
        ) from error


def display_name(name: bytes) -> bytes:
    """Return the name to print for a file argument."""
    return b"standard input" if name == STANDARD_INPUT else name
