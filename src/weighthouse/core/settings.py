"""Settings with one precedence: flag, environment, project TOML, user TOML, default. Guards operators from guessing.

Each setting is declared once with its type, default and meaning; each value can name where it came from. An unknown
name in a file or in the environment, or a value of the wrong type, is refused with the nearest valid name, and
nothing starts.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from weighthouse.core import variables, written
from weighthouse.core.errors import Invalid

Kind = Literal["text", "int", "bool", "path"]
Value = str | int | bool | Path


class Setting(msgspec.Struct, frozen=True):
    """One declared setting, dotted (`server.port`); `choices` and `pattern` limit a text, `minimum` an int."""

    name: str
    kind: Kind
    default: Value
    doc: str
    choices: tuple[str, ...] = ()
    pattern: str = ""
    minimum: int = 0
    maximum: int = 2**53
    secret: bool = False

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return "WEIGHTHOUSE_" + self.name.upper().replace(".", "_").replace("-", "_")


class Explained(msgspec.Struct, frozen=True):
    """A value and its source, for `weighthouse config explain`. Secret values are shown as dots."""

    name: str
    value: str
    source: str
    doc: str


DECLARED: tuple[Setting, ...] = (
    Setting("state", "path", Path("state"), "Folder of everything this server keeps outside its database."),
    Setting(
        "mode",
        "text",
        "production",
        "demo: throw-away keys on loopback. development: own keys, embedded identity provider. production: neither.",
        choices=("demo", "development", "production"),
    ),
    Setting("database.url", "text", "", "SQLAlchemy address; empty means SQLite in the state folder.", secret=True),
    Setting(
        "database.schema",
        "text",
        "public",
        "PostgreSQL: the schema that holds our tables, and the only one looked into.",
        pattern="[a-z_][a-z0-9_]{0,62}",
    ),
    Setting("server.address", "text", "127.0.0.1", "Address to listen on."),
    Setting("server.port", "int", 8040, "Port to listen on; 0 takes a free one.", maximum=65535),
    Setting(
        "server.origin",
        "text",
        "",
        "Public origin, such as https://weighthouse.lab; empty means address and port.",
    ),
)


def _typed(setting: Setting, raw: object, source: str) -> Value:
    value: object = raw
    if isinstance(raw, str) and setting.kind in ("int", "bool"):
        value = _from_text(setting, raw)
    if setting.kind == "path" and isinstance(value, str | Path):
        return Path(value)
    ok = {
        "text": isinstance(value, str)
        and (not setting.choices or value in setting.choices)
        and (not setting.pattern or re.fullmatch(setting.pattern, value) is not None),
        "int": isinstance(value, int) and not isinstance(value, bool) and setting.minimum <= value <= setting.maximum,
        "bool": isinstance(value, bool),
        "path": False,
    }[setting.kind]
    if not ok:
        wanted = " or ".join(setting.choices) if setting.choices else setting.kind
        if setting.pattern:
            wanted = f"of the form {setting.pattern}"
        if setting.kind == "int":
            wanted = f"a whole number from {setting.minimum} to {setting.maximum}"
        shown = "the given secret" if setting.secret else repr(raw)[:80]
        raise Invalid(
            "core.bad_setting",
            f"{source}: setting '{setting.name}' should be {wanted}, not {shown}.",
            "Correct the value there; `weighthouse config explain` lists every setting and its source.",
        )
    return cast(Value, value)


def _from_text(setting: Setting, raw: str) -> object:
    if setting.kind == "bool":
        return {"true": True, "1": True, "false": False, "0": False}.get(raw.lower(), raw)
    plain = raw.strip(" \t\r\n")
    return int(plain) if re.fullmatch("-?[0-9]{1,18}", plain) else raw


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _read_toml(path: Path) -> dict[str, object]:
    text = written.read_settings(path)
    try:
        return dict(_flatten(tomllib.loads(text or "")))
    except tomllib.TOMLDecodeError as error:
        raise Invalid(
            "core.bad_settings_file",
            f"{path}: {error}.",
            "Correct the file; it is TOML with [section] tables.",
        ) from None


def _unknown(name: str, source: str, near: str) -> Invalid:
    hint = f"Did you mean '{near}'? " if near else ""
    return Invalid(
        "core.unknown_setting",
        f"{source}: there is no setting '{name}'.",
        hint + "`weighthouse config explain` lists every setting.",
    )


class Settings:
    """All settings of one process, resolved once and then frozen."""

    def __init__(
        self,
        declared: Iterable[Setting] = DECLARED,
        *,
        flags: Mapping[str, object] | None = None,
        environ: Mapping[str, str] | None = None,
        project: Path | None = None,
        user: Path | None = None,
    ) -> None:
        self._declared = {setting.name: setting for setting in declared}
        self._values: dict[str, Value] = {}
        self._sources: dict[str, str] = {}
        for setting in self._declared.values():
            self._values[setting.name] = setting.default
            self._sources[setting.name] = "default"
        for path in (user, project):
            if path is not None:
                self._apply(_read_toml(path), str(path))
        named = {s.variable: s.name for s in self._declared.values()}
        for name, near in variables.unknown(environ or {}, named):
            raise _unknown(name, "environment", near)
        for variable, raw in (environ or {}).items():
            if variable in named:
                self._apply({named[variable]: raw}, f"environment {variable}")
        self._apply({k: v for k, v in (flags or {}).items() if v is not None}, "flag")

    def _apply(self, values: Mapping[str, object], source: str) -> None:
        for name, raw in values.items():
            setting = self._declared.get(name)
            if setting is None:
                raise self.unknown(name, source)
            self._values[name] = _typed(setting, raw, source)
            self._sources[name] = source

    def unknown(self, name: str, source: str) -> Invalid:
        """The refusal of a name that no setting has, with the nearest one."""
        near = difflib.get_close_matches(name, self._declared, n=1)
        return _unknown(name, source, near[0] if near else "")

    def _get(self, name: str, kind: type) -> Any:
        if name not in self._values:
            raise self.unknown(name, "code")
        value = self._values[name]
        assert isinstance(value, kind), f"setting {name} is not of type {kind.__name__}"
        return value

    def text(self, name: str) -> str:
        return cast(str, self._get(name, str))

    def integer(self, name: str) -> int:
        return cast(int, self._get(name, int))

    def flag(self, name: str) -> bool:
        return cast(bool, self._get(name, bool))

    def path(self, name: str) -> Path:
        return cast(Path, self._get(name, Path))

    def get(self, name: str) -> Value:
        """Return the value of any setting; the typed readers above are preferred."""
        return cast(Value, self._get(name, object))

    def changed(self, **values: Value) -> Settings:
        """Return a copy with some values replaced; a dotted name is written with `__` (`server__port=1`)."""
        copy = Settings(self._declared.values())
        copy._values, copy._sources = dict(self._values), dict(self._sources)
        copy._apply({name.replace("__", "."): value for name, value in values.items()}, "flag")
        return copy

    def explain(self) -> list[Explained]:
        """Name every setting, its value (secrets hidden) and where the value came from."""
        return [
            Explained(
                name=name,
                value="••••" if setting.secret and self._values[name] != setting.default else str(self._values[name]),
                source=self._sources[name],
                doc=setting.doc,
            )
            for name, setting in sorted(self._declared.items())
        ]
