"""Making a system to keep: own state folder, own keys sealed by a passphrase, an example lab as version 1.

Guards an existing state folder from being made over, and a new one from ever holding demo keys.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from weighthouse.access import api as access
from weighthouse.app import declared
from weighthouse.app.home import Home
from weighthouse.app.wiring import open_system
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.errors import Conflict, Unavailable
from weighthouse.core.settings import Settings
from weighthouse.core.work import System, begin
from weighthouse.keys.adapters import os_keyring
from weighthouse.keys.adapters.embedded import SealedKeys
from weighthouse.keys.adapters.passphrase import read_passphrase
from weighthouse.policy import api as policy

__all__ = ["EXAMPLE_LAB", "initialise", "load_settings", "passphrase_of", "read_passphrase", "reopen"]

EXAMPLE_LAB = Path(__file__).parent / "lab.yaml"


def load_settings(flags: Mapping[str, object], *, state: Path | None = None) -> tuple[Settings, Home]:
    """Resolve the settings of a server whose state folder is `state`, whose weighthouse.toml is the project file."""
    user = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "weighthouse" / "config.toml"
    first = Settings(declared.settings(), flags={"state": state}, environ=os.environ, user=user)
    home = Home(first.path("state"))
    settings = Settings(
        declared.settings(),
        flags={**flags, "state": home.root},
        environ=os.environ,
        project=home.settings_file,
        user=user,
    )
    return settings, home


def passphrase_of(settings: Settings, home: Home) -> str:
    """Return the passphrase of an existing key file, from wherever the settings say."""
    keyring_of = home.root if settings.flag("keys.keyring") else None
    return read_passphrase(settings.text("keys.passphrase_file"), keyring_of)


def initialise(settings: Settings, home: Home, secret: str, *, lab: Path | None = None) -> System:
    """Make the state folder, its keys sealed by `secret`, its database and version 1 of the lab; return the system.

    With `keys.keyring` the operating system's keyring remembers the passphrase. Raises `app.exists` if there is one
    already and `keys.keyring` before anything is made; a bad lab leaves nothing behind but the folder.
    """
    if home.exists():
        raise Conflict(
            "app.exists",
            f"{home.root} already holds a system with keys of its own.",
            "Start it with `weighthouse serve --state …`, or choose another folder.",
        )
    text = (lab or EXAMPLE_LAB).read_text("utf-8")
    policy.parse(text, str(lab or "lab.yaml"))
    keyring = settings.flag("keys.keyring")
    if keyring:
        os_keyring.remember(home.root, secret)
    home.make()
    if not home.settings_file.exists():
        table = "\n[keys]\nkeyring = true\n" if keyring else ""
        home.settings_file.write_text(
            f'# Settings of this server; `weighthouse config explain`.\nmode = "{mode(settings)}"\n{table}'
        )
    home.lab_file.write_text(text)
    cost = settings.integer("keys.scrypt_cost")
    system = open_system(settings, home, SealedKeys.create(home.keys_file, secret, cost=cost))
    with begin(system, SYSTEM) as unit:
        access.publish_policy(unit, None, text, "lab.yaml")
    return system


def mode(settings: Settings) -> str:
    """Return the mode that a kept system is written down with: never demo."""
    chosen = settings.text("mode")
    return "development" if chosen == "demo" else chosen


def reopen(settings: Settings, home: Home, secret: str | None = None) -> System:
    """Open a system that `initialise` made, with `secret` or the passphrase from wherever the settings say.

    Raises `app.no_state`, `keys.passphrase` and what opening raises.
    """
    check_exists(home)
    secret = passphrase_of(settings, home) if secret is None else secret
    return open_system(settings, home, SealedKeys.open(home.keys_file, secret))


def log_keys(system: System) -> tuple[str, ...]:
    """Return the verifier keys of the log, for whoever checks it later without trusting this server."""
    return audit.keys(system)


def check_exists(home: Home) -> None:
    """Raise `app.no_state` unless the folder holds a system."""
    if not home.exists():
        raise Unavailable(
            "app.no_state",
            f"{home.root} holds no system yet.",
            "Make one with `weighthouse init --state …`, or see everything at once with `weighthouse demo`.",
        )
