"""Extensions of click: examples in the help, common options, and lazily imported commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any

import click
from click.shell_completion import CompletionItem

from hashwacht.cli.options import common_options, json_option
from hashwacht.core.text import nearest


@dataclass(frozen=True, slots=True)
class Example:
    """A command line for the help, and what it does."""

    command_line: str
    description: str


class Command(click.Command):
    """A command with examples in its help and the common options."""

    def __init__(
        self,
        *arguments: Any,
        examples: Sequence[Example] = (),
        json: bool = False,
        exit_status: Mapping[int, str] = MappingProxyType({}),
        **rest: Any,
    ) -> None:
        """Extend click's arguments; *json* adds ``--json``, *exit_status* documents exit codes."""
        super().__init__(*arguments, **rest)
        self.examples = tuple(examples)
        self.exit_status = exit_status
        self.params += [json_option()] if json else []
        self.params += common_options()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does; suggest only the nearest for an unknown option."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            options = [name for option in self.params for name in option.opts if name[:2] == "--"]
            near = nearest(error.option_name, [*options, "--help"])
            raise click.NoSuchOption(
                error.option_name, error.message, [near] if near else None, ctx
            ) from None

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        """Print the examples below the options."""
        _write_examples(self.examples, formatter)


class Group(click.Group):
    """A group of commands that are imported when they run.

    *lazy* maps their names to ``module:attribute``, *summaries* maps the names in the help to the
    first sentence of their own help.
    """

    command_class = Command

    def __init__(
        self,
        *arguments: Any,
        lazy: Mapping[str, str] = MappingProxyType({}),
        summaries: Mapping[str, str] = MappingProxyType({}),
        examples: Sequence[Example] = (),
        **rest: Any,
    ) -> None:
        super().__init__(*arguments, **rest)
        self.lazy, self.summaries = lazy, summaries
        self.examples = tuple(examples)
        self.params += common_options()

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the names of all commands in the order of their declaration."""
        return [*self.lazy, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, importing its module if it is lazy."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self.lazy[cmd_name].partition(":")
        imported: click.Command = getattr(import_module(module), attribute)
        return imported

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command; suggest the nearest for an unknown name."""
        name = args[0]
        known = self.list_commands(ctx)
        if name not in known and not name.startswith("-"):
            near = nearest(name, known)
            hint = f"did you mean {near}?" if near else f"commands are {', '.join(known)}"
            raise click.UsageError(f"unknown command {name!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        if not self.summaries:
            super().format_commands(ctx, formatter)
            return
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the commands without importing them."""
        if not self.summaries or incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=summary)
            for name, summary in self.summaries.items()
            if name.startswith(incomplete)
        ]

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        """Print the examples below the commands."""
        _write_examples(self.examples, formatter)


def _write_examples(examples: Sequence[Example], formatter: click.HelpFormatter) -> None:
    if examples:
        with formatter.section("Examples"):
            for example in examples:
                formatter.write(f"{'':{formatter.current_indent}}{example.command_line}\n")
                with formatter.indentation():
                    formatter.write_text(example.description)


def command(
    *examples: Example, json: bool = False, **rest: Any
) -> Callable[[Callable[..., Any]], Command]:
    """Return a decorator for a command with examples; everything else is as in click."""
    return click.command(cls=Command, examples=examples, json=json, **rest)
