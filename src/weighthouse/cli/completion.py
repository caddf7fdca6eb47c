"""`weighthouse completion SHELL`: prints the script that lets a shell complete commands. It installs nothing."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_HOW = {
    "bash": 'eval "$(weighthouse completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(weighthouse completion zsh)" in ~/.zshrc',
    "fish": "weighthouse completion fish > ~/.config/fish/completions/weighthouse.fish",
}


@click.command("completion")
@click.argument("shell", type=click.Choice(sorted(_HOW)))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    bash:  eval "$(weighthouse completion bash)"   in ~/.bashrc
    zsh:   eval "$(weighthouse completion zsh)"    in ~/.zshrc
    fish:  weighthouse completion fish > ~/.config/fish/completions/weighthouse.fish
    """
    chosen = get_completion_class(shell)
    assert chosen is not None
    complete = chosen(ctx.find_root().command, {}, "weighthouse", "_WEIGHTHOUSE_COMPLETE")
    click.echo(complete.source())
