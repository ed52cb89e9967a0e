"""``hashwacht completion``: shell completion for commands and options."""

from __future__ import annotations

import click

from hashwacht.cli.app import COMPLETION, NAME
from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.output import line


@command(
    Example(
        'eval "$(hashwacht completion bash)"',
        "Enable completion in this bash; add the line to ~/.bashrc to keep it.",
    ),
    Example(
        "hashwacht completion fish > ~/.config/fish/completions/hashwacht.fish",
        "Enable completion in fish.",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the completion script for a shell."""
    from click.shell_completion import get_completion_class

    from hashwacht.cli.app import root

    completion = get_completion_class(shell)
    assert completion is not None
    script = completion(root, {}, NAME, COMPLETION).source()
    line(script.removesuffix("\n"))
