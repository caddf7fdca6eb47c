"""JSON is read from text that somebody decoded, never from bytes: the standard parser guesses UTF-16, UTF-32 and marks.

A document that has two spellings has two digests, or one digest and two readings; each is a way past a check.
"""

from __future__ import annotations

import ast

from tests.house import source

DECODED = {"decode", "read_text", "utf8"}
ARGUMENT = "sys.argv[1]"
# What is text already, reviewed by eye.
TEXTS = {
    ("formats.py", "text"),
    ("request.py", "operation"),
    ("acts.py", "text.rsplit('RESULT ', 1)[1].splitlines()[0]"),
    ("http.py", "str(refusal.details.get('acts', '[]'))"),
    ("ground.py", "line[len(MARK):]"),
}


def test_no_json_is_read_from_bytes() -> None:
    found = []
    for path in source.files():
        parts = path.relative_to(source.ROOT).parts
        if path.suffix != ".py" or "src" not in parts[:2]:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("json.loads", "json.load"):
                continue
            said = node.args[0]
            name = ast.unparse(said.func).rsplit(".", 1)[-1] if isinstance(said, ast.Call) else ""
            if name not in DECODED and (path.name, ast.unparse(said)) not in TEXTS and ast.unparse(said) != ARGUMENT:
                found.append(f"{path.relative_to(source.ROOT)}:{node.lineno}: {ast.unparse(said)}")
    assert found == []
