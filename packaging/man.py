"""Write the manual pages, generated from the commands and settings: ``man.py DIRECTORY``."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import click

from hashwacht import __version__
from hashwacht.cli.click_ext import Command, Group
from hashwacht.core.errors import ExitCode

EXIT_STATUS: Mapping[ExitCode, str] = MappingProxyType(
    {
        ExitCode.OK: "Finished, and there was no match.",
        ExitCode.MATCH: "At least one match.",
        ExitCode.ERROR: "The call or the configuration is wrong, or it could not be finished.",
        ExitCode.UNDETERMINED: "No match, but some files are undetermined.",
        ExitCode.UNREACHABLE: "No match, but no matcher could be reached.",
        ExitCode.INTERRUPTED: "Interrupted; run the same command again to resume.",
    }
)

ENVIRONMENT = (
    ("HASHWACHT_CONFIG", "The configuration to read; --config comes before it."),
    ("HASHWACHT_STATE_DIR", "Where state and hash lists are kept; --state-dir comes before it."),
    ("STATE_DIRECTORY", "Set by systemd; where state is kept if nothing else is configured."),
    ("CREDENTIALS_DIRECTORY", "Set by systemd; where credentials are looked for first."),
    (
        "HASHWACHT_CREDENTIAL_NAME",
        "The credentials NAME (capitals, - written _) as user:password; a last resort, visible.",
    ),
    (
        "XDG_CONFIG_HOME, XDG_STATE_HOME",
        "Where users other than root keep configuration and state.",
    ),
    ("NO_COLOR", "If set, no colours."),
)

FILES = (
    ("/etc/hashwacht/hashwacht.toml", "Configuration of root, see hashwacht.toml(5)."),
    ("/etc/hashwacht/conf.d/*.toml", "Drop-ins, read after it in the order of their names."),
    ("$XDG_CONFIG_HOME/hashwacht/hashwacht.toml", "Configuration of other users."),
    ("/etc/hashwacht/credentials/NAME", "Credentials, one file of mode 0600 for each name."),
    ("/var/lib/hashwacht/state.db", "What is known of every file: root's state."),
    ("/var/lib/hashwacht/lists", "Hash lists, readable by their owner alone."),
)


def main() -> None:
    """Write all manual pages into the directory named on the command line."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for name, page in pages():
        (directory / name).write_text(page, encoding="utf-8")
        print(directory / name)


def pages() -> Iterator[tuple[str, str]]:
    """Yield the file name and text of each visible command's page and the configuration's."""
    from hashwacht.cli.app import root

    with click.Context(root, info_name="hashwacht", **root.context_settings) as context:
        yield from _pages(context)
    yield "hashwacht.toml.5", _configuration_page()


def _pages(context: click.Context) -> Iterator[tuple[str, str]]:
    name = context.command_path.replace(" ", "-")
    yield f"{name}.1", _page(context, name)
    if isinstance(context.command, click.Group):
        for child, command in _shown(context):
            with click.Context(command, info_name=child, parent=context) as below:
                yield from _pages(below)


def _shown(context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Yield the visible subcommands."""
    group = context.command
    assert isinstance(group, click.Group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None and not command.hidden:
            yield name, command


def _page(context: click.Context, name: str) -> str:
    command = context.command
    assert isinstance(command, (Command, Group))
    usage = " ".join(command.collect_usage_pieces(context))
    sections = [
        ("NAME", f"{roff_text(name)} \\- {roff_text(_summary(command))}"),
        ("SYNOPSIS", f"{roff_bold(context.command_path)} {roff_text(usage)}"),
        ("DESCRIPTION", roff_paragraphs(_help(command))),
        ("COMMANDS", _commands(context)),
        ("OPTIONS", roff_items(_options(context))),
        (
            "EXAMPLES",
            roff_examples(
                (example.command_line, example.description) for example in command.examples
            ),
        ),
        ("EXIT STATUS", roff_items(_exit_status(command))),
        ("ENVIRONMENT", roff_items(ENVIRONMENT)),
        ("FILES", roff_items(FILES)),
        ("SEE ALSO", roff_text(_see_also(context))),
    ]
    return roff_page(name, 1, __version__, sections)


def _help(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "")


def _summary(command: click.Command) -> str:
    """Return the first paragraph of the help without its full stop, as whatis expects it."""
    return " ".join(_help(command).partition("\n\n")[0].split()).removesuffix(".")


def _commands(context: click.Context) -> str:
    if not isinstance(context.command, click.Group):
        return ""
    prefix = context.command_path.replace(" ", "-")
    return roff_items(
        (f"{prefix}-{name}(1)", _summary(command)) for name, command in _shown(context)
    )


def _options(context: click.Context) -> Iterator[tuple[str, str]]:
    for param in context.command.get_params(context):
        record = param.get_help_record(context)
        if record is not None and record[1]:
            yield record


def _exit_status(command: click.Command) -> Iterator[tuple[str, str]]:
    statuses = command.exit_status if isinstance(command, Command) else {}
    for code, meaning in (statuses or EXIT_STATUS).items():
        yield str(int(code)), meaning


def _see_also(context: click.Context) -> str:
    root = context.find_root()
    pages = [f"hashwacht-{name}(1)" for name, _ in _shown(root)]
    return ", ".join(["hashwacht(1)", *pages, "hashwacht.toml(5)"])


def _configuration_page() -> str:
    from hashwacht.settings.show import example

    body = "\n".join(roff_text(line) or "" for line in example().splitlines())
    sections = [
        ("NAME", "hashwacht.toml \\- configuration of Hashwacht"),
        (
            "DESCRIPTION",
            roff_paragraphs(
                "The file is written in TOML. What follows is the example that `hashwacht config"
                " example` prints: every key with its meaning and its default."
            )
            + f"\n.PP\n.nf\n{body}\n.fi",
        ),
        ("FILES", roff_items(FILES)),
        ("SEE ALSO", roff_text("hashwacht(1), hashwacht-config(1)")),
    ]
    return roff_page("hashwacht.toml", 5, __version__, sections)


def roff_page(name: str, section: int, version: str, sections: Iterable[tuple[str, str]]) -> str:
    """Put a page together; no date in it, so that equal input gives an equal file."""
    head = f'.TH "{name.upper()}" "{section}" "" "Hashwacht {version}" "Hashwacht manual"\n'
    return head + "".join(f".SH {title}\n{body}\n" for title, body in sections if body)


def roff_text(plain: str) -> str:
    """Escape plain text: backslashes, hyphens that must stay, and what begins a request."""
    escaped = plain.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga")
    return re.sub(r"(?m)^(?=[.'])", r"\\&", escaped)


def roff_paragraphs(plain: str) -> str:
    """Fill paragraphs that blank lines divide."""
    blocks = re.split(r"\n\s*\n", plain.strip())
    return "\n.PP\n".join(roff_text(re.sub(r"\s+", " ", block)) for block in blocks if block)


def roff_bold(plain: str) -> str:
    """Print it bold."""
    return f"\\fB{roff_text(plain)}\\fR"


def roff_items(pairs: Iterable[tuple[str, str]]) -> str:
    """List terms with what they mean."""
    return "\n".join(
        f".TP\n{roff_bold(term)}\n{roff_paragraphs(meaning)}" for term, meaning in pairs
    )


def roff_examples(pairs: Iterable[tuple[str, str]]) -> str:
    """List what to type, under what it does."""
    return "\n".join(
        f"{roff_paragraphs(does)}\n.PP\n.nf\n.RS 4\n{roff_text(typed)}\n.RE\n.fi\n.PP"
        for typed, does in pairs
    ).removesuffix("\n.PP")


if __name__ == "__main__":
    main()
