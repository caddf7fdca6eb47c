"""A route that only reads leaves no line: access must be asked there without one, or the answer is always no."""

from __future__ import annotations

import ast

from tests.house import source


def test_no_route_states_a_fact_in_a_unit_that_writes_nothing() -> None:
    wrong = [
        f"{source.shown(path)}:{node.name}"
        for path in source.product()
        for node in source.nodes(path)
        if isinstance(node, ast.FunctionDef) and "write=False" in (text := ast.unparse(node)) and ".require(" in text
    ]
    assert not wrong, f"these ask `require`, which writes a line, in a unit opened with write=False: {wrong}"
