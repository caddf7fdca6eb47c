"""`weighthouse init`: a state folder with keys of its own, an example lab to edit, and how to go on."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("init")
@click.option(
    "--state", type=click.Path(file_okay=False, path_type=Path), help="Folder to make; ./state if not given."
)
@click.option(
    "--lab", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Your own lab configuration."
)
@click.option(
    "--mode",
    type=click.Choice(["development", "production"]),
    default="development",
    show_default=True,
    help="development has an identity provider of its own on loopback; production needs identity.issuer.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False),
    help="File (mode 0600) with the passphrase that seals the keys; asked for on the terminal if not given.",
)
@click.option(
    "--keyring",
    is_flag=True,
    help="Let the operating system's keyring remember the passphrase, so that serve does not ask. Keep a copy.",
)
@click.option(
    "--show-accounts", is_flag=True, help="Only print the embedded provider's accounts of an existing folder."
)
def command(
    state: Path | None,
    lab: Path | None,
    mode: str,
    passphrase_file: str | None,
    keyring: bool,
    show_accounts: bool,
) -> None:
    """Make a state folder with keys of its own, sealed by a passphrase."""
    from weighthouse.app import initialise
    from weighthouse.core.memory import keep_private

    keep_private()
    flags = {
        "mode": None if show_accounts else mode,
        "keys.passphrase_file": passphrase_file,
        "keys.keyring": keyring or None,
    }
    settings, home = initialise.load_settings(flags, state=state)
    if show_accounts:
        system = initialise.reopen(settings, home)
    else:
        file = settings.text("keys.passphrase_file")
        secret = initialise.read_passphrase(file) if file else _new_passphrase()
        system = initialise.initialise(settings, home, secret, lab=lab)
        click.echo(f"Made {home.root}: sealed keys, database, and version 1 of {home.lab_file.name}.")
        if keyring:
            click.echo(
                "The keyring remembers the passphrase. Keep a copy elsewhere: without it, a lost keyring loses all."
            )
        click.echo("Public key of the log; give it to auditors and witnesses:")
        for key in initialise.log_keys(system):
            click.echo(f"  {key}")
    try:
        if settings.text("mode") == "development":
            _accounts(system)
    finally:
        system.database.close()
    if not show_accounts:
        click.echo(f"Next: weighthouse serve --state {home.root}")


def _new_passphrase() -> str:
    return str(click.prompt("New passphrase for the keys", hide_input=True, confirmation_prompt=True, err=True))


def _accounts(system: object) -> None:
    from weighthouse.app import provider
    from weighthouse.core.work import System

    assert isinstance(system, System)
    click.echo("Accounts of the embedded identity provider (development only; whoever has the keys has them all):")
    for subject, person in sorted(provider.people(system).items()):
        secret = provider.dev_secret(system, subject)
        click.echo(f"  {subject:<6} {person.name:<16} password {secret.password}  {secret.link(subject)}")
