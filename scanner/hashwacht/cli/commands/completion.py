"""``hashwacht completion``: the script that teaches a shell our commands and options."""

from __future__ import annotations

import click

from hashwacht.cli.app import COMPLETION, NAME
from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.output import line


@command(
    Example(
        'eval "$(hashwacht completion bash)"', "Complete in this bash; or put it in ~/.bashrc."
    ),
    Example(
        "hashwacht completion fish > ~/.config/fish/completions/hashwacht.fish",
        "Complete in every fish from now on.",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    from hashwacht.cli.app import root

    made = get_completion_class(shell)
    assert made is not None
    script = made(root, {}, NAME, COMPLETION).source()
    line(script.removesuffix("\n"))
