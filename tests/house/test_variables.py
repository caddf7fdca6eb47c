"""Each WEIGHTHOUSE_ variable that any code reads is a setting's or in the one list of others, which names no ghost."""

from __future__ import annotations

import re

from tests.house import source
from weighthouse.app import declared
from weighthouse.core import variables

_READ = re.compile(
    r"""(?:environ(?:\.get|\.pop)?[\[(]\s*|getenv\(\s*|envvar=)["'](WEIGHTHOUSE_\w+)|["'](WEIGHTHOUSE_\w+)["'] in os\.environ"""
)
_LIST = "src/weighthouse/core/variables.py"


def others() -> set[str]:
    return {variables.PREFIX + name for names in variables.OTHERS.values() for name in names}


def test_a_variable_that_is_read_stops_no_start() -> None:
    known = others() | {setting.variable for setting in declared.settings()}
    found = {
        (name, source.shown(path))
        for path in source.files()
        if path.suffix == ".py"
        for pair in _READ.findall(source.text(path))
        for name in pair
        if name
    }
    assert {"WEIGHTHOUSE_HOME", "WEIGHTHOUSE_SERVER", "WEIGHTHOUSE_TOTP_SECRET"} <= {name for name, _ in found}
    assert not [one for one in found if one[0] not in known], f"add them to {_LIST}"


def test_the_list_of_others_names_only_what_somebody_uses() -> None:
    texts = [
        source.text(path)
        for path in source.files()
        if (path.suffix == ".py" or path.name == "Makefile") and source.shown(path) != _LIST
    ]
    assert not [name for name in others() if not any(name in text for text in texts)]
    assert not others() & {setting.variable for setting in declared.settings()}
