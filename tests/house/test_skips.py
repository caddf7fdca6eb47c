"""No test leaves itself out. What needs more of a machine has a marker, and a word of `make` that `.ci/run` says.

A test that skips where it cannot run is green everywhere it was never run, and nobody notices.
"""

from __future__ import annotations

import ast
import re
import tomllib

from tests.house import source

SKIPPING = {"skip", "skipif", "importorskip", "xfail", "SkipTest", "skipTest", "skipUnless", "skipIf"}
BY_HAND = {"soak": "make soak: hours, before a release"}


def test_no_test_skips_itself() -> None:
    found = [
        f"{source.shown(path)}:{node.lineno} {name}"
        for path in source.files()
        if path.suffix == ".py" and path.is_relative_to(source.ROOT / "tests")
        for node in ast.walk(ast.parse(source.text(path)))
        for name in [node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""]
        if name in SKIPPING
    ]
    assert not found, found


def test_every_marker_is_run_by_a_word_of_make_that_ci_says() -> None:
    declared = tomllib.loads(source.text(source.ROOT / "pyproject.toml"))["tool"]["pytest"]["ini_options"]
    assert declared["empty_parameter_set_mark"] == "fail_at_collect"  # else it is a skip
    words = re.split(r"\n(?=[a-z-]+:)", source.text(source.ROOT / "Makefile"))
    said = set(re.findall(r"\bmake ([a-z-]+)", source.text(source.ROOT / ".ci" / "run")))
    for marker in {line.split(":")[0] for line in declared["markers"]} - BY_HAND.keys():
        runs = {
            word.split(":")[0]
            for word in words
            for chosen in re.findall(r'pytest.* -m "?([^"\n&]*)', word)
            if re.search(rf"(?<!not ){marker}\b", chosen)
        }
        assert runs & said, f"nothing that .ci/run says runs the tests marked {marker}"
