"""The entry point `weighthouse`: a static list of nouns, loaded only when used. Guards the start from being slow.

`weighthouse --help` imports Click and nothing of the server; each noun's module is imported when its command runs. An
error of any kind leaves as a few lines on standard error and a documented exit code.
"""

from __future__ import annotations

import codecs
import importlib
import importlib.util
import locale
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

import click

from weighthouse.cli import exits
from weighthouse.cli.examples import epilog


class Noun(NamedTuple):
    """A command of the list: the module `weighthouse.cli.<module>` and the attribute in it that is the command."""

    module: str
    help: str
    attribute: str = "command"


NOUNS: dict[str, dict[str, Noun]] = {
    "Run a control plane": {
        "demo": Noun("demo", "Play the main job and the thefts; Ctrl-C leaves nothing behind."),
        "init": Noun("init", "Make a state folder with keys of its own, sealed by a passphrase."),
        "serve": Noun("serve", "Start the server; Ctrl-C or SIGTERM stops it cleanly."),
        "doctor": Noun(
            "doctor",
            "Say what this machine has and lacks, and how the log of its server is; exit 6 if something is missing.",
        ),
        "keys": Noun(
            "keys", "See and change the keys that wrap data keys, offline: with the server of the folder stopped."
        ),
        "config": Noun("config", "Explain settings and where they come from."),
    },
    "Work": {
        "login": Noun("login", "Sign in, in the browser or in this terminal."),
        "logout": Noun("login", "End this session on the server and forget it here.", "logout"),
        "whoami": Noun("login", "Show who you are signed in as, and how surely.", "whoami"),
        "devices": Noun("login", "List and enrol the keys that may sign your votes.", "devices"),
        "search": Noun("search", "Find a resource and the narrowest role that opens it."),
        "request": Noun("request", "Ask for access; without arguments, step by step."),
        "grant": Noun("grant", "See, give back or revoke access."),
        "weights": Noun("weights", "Models, versions, lineage; seal and open files."),
        "run": Noun("run", "Submit, watch and stop training runs."),
    },
    "Oversee": {
        "review": Noun("review", "Decide requests that wait for you."),
        "why": Noun("why", "Explain a yes or a no."),
        "who": Noun("why", "List who can reach a resource, and why.", "who"),
        "sessions": Noun("sessions", "List and end sessions; freeze and thaw people."),
        "hold": Noun("hold", "Stop a resource, a person or the whole lab; lift it again."),
        "alerts": Noun("alerts", "What detection saw and did."),
        "egress": Noun("egress", "What may leave, how fast, and how long a theft would take."),
        "policy": Noun("policy", "Check, compare and publish the lab's policy."),
    },
    "Prove": {
        "audit": Noun("audit", "Read, prove, export and verify the log."),
        "evidence": Noun("evidence", "Controls with computed evidence."),
        "redteam": Noun("redteam", "Run the attack catalogue and read its score."),
        "committee": Noun("committee", "Seats, motions, votes and release holds."),
    },
    "Shell": {
        "completion": Noun("completion", "Print the completion script for SHELL."),
    },
}
FLAT: dict[str, Noun] = {name: noun for section in NOUNS.values() for name, noun in section.items()}


class Root(click.Group):
    """A group whose commands are imported on first use and listed by section."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands whose modules are installed."""
        return [name for name, noun in FLAT.items() if importlib.util.find_spec(f"weighthouse.cli.{noun.module}")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the noun's module and return its command."""
        noun = FLAT.get(cmd_name)
        if noun is None or cmd_name not in self.list_commands(ctx):
            return None
        found = getattr(importlib.import_module(f"weighthouse.cli.{noun.module}"), noun.attribute)
        assert isinstance(found, click.Command)
        found.epilog = epilog(cmd_name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections from the static list, importing nothing."""
        present = set(self.list_commands(ctx))
        for title, section in NOUNS.items():
            rows = [(name, noun.help) for name, noun in section.items() if name in present]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command when somebody mistypes one."""
        if args and not args[0].startswith("-") and args[0] not in FLAT:
            import difflib

            near = difflib.get_close_matches(args[0], FLAT, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else " `weighthouse --help` lists them."
            raise click.UsageError(f"There is no command '{args[0]}'.{hint}", ctx)
        return super().resolve_command(ctx, args)


def _version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        from weighthouse.cli.release import version

        found = version() or "of unknown version (its installation is damaged)"
        click.echo(f"weighthouse {found}")
        ctx.exit()


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Print the version."
)
@click.option(
    "--server",
    metavar="URL",
    envvar="WEIGHTHOUSE_SERVER",
    help="The control plane to talk to; the default is the one you last signed in to.",
)
@click.pass_context
def cli(ctx: click.Context, server: str | None) -> None:
    """Weighthouse guards an AI research cluster: researchers train, nobody walks out with the weights.

    Lists are tables on a terminal, tab-separated when piped, and JSON with -o json. Exit codes: 0 done, 1 refused,
    2 wrong usage, 3 sign in or step up first, 4 server unreachable or a part of it down, 5 somebody was first,
    6 what was checked is not in order, 7 no system in the state folder, 8 its keys do not open.
    """
    ctx.obj = {"server": server}


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; nothing but a deliberate interrupt gets past it."""
    try:
        # no-color.org: any value but an empty one; Rich reads it by itself.
        colour = False if os.environ.get("NO_COLOR") else None
        asked = list(arguments) if arguments is not None else None
        status = cli.main(asked, "weighthouse", standalone_mode=False, color=colour)
        return status if isinstance(status, int) else exits.OK
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.UsageError as error:
        error.show()
        return exits.USAGE
    except click.ClickException as error:
        error.show()
        return exits.REFUSED
    except (click.Abort, KeyboardInterrupt):
        click.echo("\nStopped; nothing further was sent.", err=True)
        return exits.INTERRUPTED
    except SystemExit as leaving:
        # Click leaves with 1, and a wrapper in place of standard output, when the reader of a pipe has gone, as in
        # `weighthouse audit log | head`. Nothing was refused, so nothing may look refused to a script.
        gone = "Pacify" in type(sys.stdout).__name__
        return exits.OK if gone or leaving.code is None else leaving.code if isinstance(leaving.code, int) else 1
    except Exception as error:
        return exits.explain(error)


def _speak_utf8() -> None:
    """Start again in Python's UTF-8 mode where the locale is another one, so that no byte depends on it (PEP 540)."""
    if not sys.flags.utf8_mode and codecs.lookup(locale.getpreferredencoding(False)).name != "utf-8":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - this very command


def main() -> NoReturn:
    """The console script."""
    _speak_utf8()
    sys.exit(run())
