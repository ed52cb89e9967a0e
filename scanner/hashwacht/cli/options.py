"""What was asked of us, apart from the command's own arguments: the options of every command.

Files that were named on the command line, and standard input in place of one.

The private keys that open what is sealed, as options of commands name them.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from hashwacht.core.errors import CredentialError, UsageError
from hashwacht.settings import Configuration, OptionValue, load

STANDARD_INPUT = b"-"


@contextmanager
def open_input(name: bytes) -> Iterator[int]:
    """Open what was named for reading, at offset 0; ``-`` is standard input, spooled to disk.

    A name that the caller typed may be a link.  Never blocks on a FIFO or device.  Raises
    OSError.
    """
    if name == STANDARD_INPUT:
        with tempfile.TemporaryFile() as spool:
            shutil.copyfileobj(sys.stdin.buffer, spool)
            spool.seek(0)
            yield spool.fileno()
        return
    fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(0, "not a regular file")
        yield fd
    finally:
        os.close(fd)


def display_name(name: bytes) -> bytes:
    """Name standard input by what it is."""
    return b"standard input" if name == STANDARD_INPUT else name


_STANDARD_INPUT = Path("-")


def identity_option() -> Callable[[Any], Any]:
    """Make the option that opens what is sealed."""
    return click.option(
        "--identity",
        "identities",
        type=click.Path(allow_dash=True, path_type=Path),
        multiple=True,
        metavar="FILE",
        help="A private key of age that opens sealed files; - for standard input.  May be repeated"
        " if they are sealed for different keys.",
    )


def read_identities(files: Iterable[Path]) -> tuple[str, ...]:
    """Read the private keys, in the order in which they are given.  Raises CredentialError."""
    from hashwacht.quarantine.age import parse_secret_keys

    return tuple(secret for file in files for secret in parse_secret_keys(_text(file)))


def identity_missing(other: str = "") -> UsageError:
    """Return the error for a missing private key, or for *other* problems with it."""
    return UsageError(
        "some of its files are sealed",
        advice=f"Give --identity with the private key that opens them{other}.",
    )


def _text(file: Path) -> str:
    try:
        return sys.stdin.read() if file == _STANDARD_INPUT else file.read_text()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise CredentialError(
            f"{file} cannot be read: {why}", advice="Name the file with the private key."
        ) from error


_CONFIG, _STATE, _VERBOSE, _JSON = "config", "state_dir", "verbose", "as_json"


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """The options that every command has."""

    config: Path | None = None
    state_dir: Path | None = None
    verbose: bool = False
    as_json: bool = False

    def configuration(self, *options: OptionValue) -> Configuration:
        """Read the configuration; *options* are the command's own that override a key."""
        if self.state_dir is not None:
            given = OptionValue("state.directory", str(self.state_dir.absolute()), "--state-dir")
            options = (*options, given)
        return load(os.environ, uid=os.geteuid(), file=self.config, options=options)


def global_options() -> GlobalOptions:
    """Return the global options of the running command."""
    meta = click.get_current_context().meta
    return GlobalOptions(**meta.get(__name__, {}))


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Keep an option that may stand before the command as well as after it: the last one counts."""
    if value not in (None, False):
        assert parameter.name is not None
        context.meta.setdefault(__name__, {})[parameter.name] = value
    return value


def _option(*names: str, **attributes: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_remember, **attributes)


def common_options() -> list[click.Parameter]:
    """Make the options of every command, in the order of its help."""
    path = click.Path(dir_okay=False, path_type=Path)
    directory = click.Path(file_okay=False, path_type=Path)
    return [
        _option(f"--{_CONFIG}", type=path, metavar="FILE", help="Read this configuration."),
        _option(
            "--state-dir",
            type=directory,
            metavar="DIRECTORY",
            help="Keep state and hash lists here.",
        ),
        _option("-v", "--verbose", is_flag=True, help="Say more, and show tracebacks of errors."),
    ]


def json_option() -> click.Option:
    """Make the option of every command that has results."""
    return _option(
        "--json", _JSON, is_flag=True, help="Print one versioned JSON object a line instead."
    )
