"""Making a system to keep: own state folder, own keys sealed by a passphrase, an example lab as version 1.

Guards an existing state folder from being made over, a new one from ever holding demo keys or being half-made.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from weighthouse.access import api as access
from weighthouse.app import declared, emptied, memories
from weighthouse.app.draft import Draft
from weighthouse.app.home import Home
from weighthouse.app.wiring import admit, assemble, machine, open_system
from weighthouse.audit import api as audit
from weighthouse.core import written
from weighthouse.core.caller import SYSTEM
from weighthouse.core.errors import Conflict, Unavailable, WeighthouseError
from weighthouse.core.settings import Settings
from weighthouse.core.work import System, begin, read
from weighthouse.keys.adapters import os_keyring
from weighthouse.keys.adapters.embedded import SealedKeys
from weighthouse.keys.adapters.passphrase import read_passphrase
from weighthouse.policy import api as policy

__all__ = ["EXAMPLE_LAB", "initialise", "load_settings", "passphrase_of", "read_passphrase", "reopen"]

EXAMPLE_LAB = Path(__file__).parent / "lab.yaml"


def load_settings(flags: Mapping[str, object], *, state: Path | None = None) -> tuple[Settings, Home]:
    """Resolve the settings of a server whose state folder is `state`; the only resolver there is.

    Files: `weighthouse.toml` in the state folder and the user's own; never one in the working directory.
    """
    folder = written.configuration_folder(os.environ)
    user = folder / "weighthouse" / "config.toml" if folder else None
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

    It is there whole or not at all (app/draft.py). With `keys.keyring` the operating system's keyring remembers the
    passphrase. Raises `app.state_in_use`, `app.exists`, `app.not_empty`, `app.database_in_use`, `app.no_room`, and
    before anything is made `runs.private_shown`, `keys.keyring` and what is wrong with the lab.
    """
    text = _lab_text(lab)
    machine(settings, home).check_private()
    made_here = not home.root.exists()
    try:
        home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise no_room(home.root, error) from None
    try:
        home.lock.take("init")
        _refuse_existing(home)
        if settings.flag("keys.keyring"):
            os_keyring.remember(home.root, secret)
        _make(settings, Draft(home), secret, text)
    except BaseException:
        if made_here and not home.exists():
            _leave_nothing(home)
        raise
    finally:
        home.lock.release()
    return open_system(settings, home, SealedKeys.open(home.keys_file, secret))


def no_room(folder: Path, error: OSError) -> Unavailable:
    """The refusal for a folder that cannot be made or filled."""
    return Unavailable(
        "app.no_room",
        f"{folder} cannot be written: {error.strerror or error}.",
        "Make room on its disk and let the user who runs this write there, or choose another folder with --state.",
    )


def _lab_text(lab: Path | None) -> str:
    text = written.read_text(lab or EXAMPLE_LAB)
    policy.parse(text, str(lab or "lab.yaml"))
    return text


def _refuse_existing(home: Home) -> None:
    if home.exists():
        raise Conflict(
            "app.exists",
            f"{home.root} already holds a system with keys of its own.",
            "Start it with `weighthouse serve --state …`, or choose another folder.",
        )


def _leave_nothing(home: Home) -> None:
    """Remove a folder that this very process made, if nothing but its lock is in it."""
    with contextlib.suppress(OSError):
        home.lock.remove()
        home.root.rmdir()


def _make(settings: Settings, draft: Draft, secret: str, text: str) -> None:
    try:
        draft.begin(settings, text)
        if not draft.home.settings_file.exists():
            draft.inside.settings_file.write_text(_settings_text(settings, draft.home), "utf-8")
        keys = SealedKeys.create(draft.inside.keys_file, secret, cost=settings.integer("keys.scrypt_cost"))
        system = assemble(settings, draft.inside, keys)
        try:
            draft.claim(system)
            admit(system, new=True)
            with begin(system, SYSTEM) as unit:
                access.publish_policy(unit, None, text, "lab.yaml")
            memories.settle(system, draft.inside)
        finally:
            system.database.close()
        draft.finish()
    except BaseException as error:
        with contextlib.suppress(Exception):  # what cannot be removed now, the next init removes
            draft.clear(settings)
        if isinstance(error, OSError):
            raise no_room(draft.home.root, error) from None
        raise


def _settings_text(settings: Settings, home: Home) -> str:
    table = "\n[keys]\nkeyring = true\n" if settings.flag("keys.keyring") else ""
    if settings.text("database.url"):  # else whoever forgets it later opens another database, a new one
        table += f"\n[database]\nurl = {_quoted(emptied.shown(settings, home))}\n"
        table += f"schema = {_quoted(settings.text('database.schema'))}\n"
    return f'# Settings of this server; `weighthouse config explain`.\nmode = "{mode(settings)}"\n{table}'


def _quoted(text: str) -> str:
    """A basic string of TOML, which JSON's are but for characters outside the first plane."""
    return json.dumps(text, ensure_ascii=False)


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


def serveable(settings: Settings, home: Home) -> System:
    """Open a kept system to serve it. Raises `app.half_state` if no lab was ever published in it, and
    `runs.private_shown` if runs would be shown what is in it, as well.
    """
    check_exists(home)
    machine(settings, home).check_private()
    if memories.never_begun(settings, home):
        raise _half(home)
    system = reopen(settings, home)
    try:
        with read(system) as unit:
            policy.current(unit)
    except WeighthouseError as error:
        if error.code == "policy.none":
            system.database.close()
            raise _half(home) from None
    return system


def _half(home: Home) -> Unavailable:
    return Unavailable(
        "app.half_state",
        f"{home.root} has keys, but no lab was ever published: an older `init` was interrupted here.",
        "Nothing is lost with it: remove the folder and run `weighthouse init` again.",
    )


def hold(home: Home, what: str) -> None:
    """Take the lock of a kept system for the command `what`, before anything of it is opened."""
    check_exists(home)
    home.lock.take(what)
    Draft(home).sweep()


@contextlib.contextmanager
def alone(home: Home, what: str) -> Iterator[None]:
    """Work on a kept system as the command `what`, with its lock held until the end.

    Every command that changes a state folder without asking its server does so in here: a server that runs would
    neither see the change nor be asked.
    """
    hold(home, what)
    try:
        yield
    finally:
        home.lock.release()


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
