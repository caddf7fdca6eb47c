"""Every guard that a test takes out stands where the test says, exactly once: told in a minute and not in twenty."""

from __future__ import annotations

from tests.attacks.removed_guards import REMOVALS
from tests.house import source


def test_every_guard_that_is_taken_out_still_stands() -> None:
    gone = [
        f"{removal.scenario}: {file} has {line!r} {found} times"
        for removal in REMOVALS
        for file, line, _ in filter(None, ((removal.file, removal.line, removal.instead), removal.also))
        if (found := source.text(source.ROOT / "src" / "weighthouse" / file).count(line)) != 1
    ]
    assert not gone, "\n".join(gone)
