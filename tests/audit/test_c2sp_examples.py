"""The worked examples of the C2SP specifications, read by both of our implementations as they are printed.

From https://github.com/C2SP/C2SP (signed-note, tlog-checkpoint, tlog-cosignature, tlog-witness, tlog-proof), licensed
under CC BY 4.0. Their keys are not published, so that what is checked here is the reading and not the signatures.
"""

from __future__ import annotations

import pytest

from weighthouse.audit.rules import note as notes
from weighthouse.audit.rules import proof as proofs
from weighthouse.audit.rules import witnessing
from weighthouse.audit.rules.checkpoint import open_checkpoint, parse_text
from weighthouse.core.errors import Invalid
from weighthouse_verify import notes as theirs
from weighthouse_verify import proof as their_proofs

POEM = """Ognuno sta solo sul cuor della terra
trafitto da un raggio di sole:

ed è subito sera.

— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=
"""
CHECKPOINT = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""
COSIGNED = (
    CHECKPOINT
    + """— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""
)
REQUEST = (
    """old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

"""
    + CHECKPOINT
    + """— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
"""
)
ANSWER = """— witness.example/w1 CMp+6LWBU0anHGH5aNDTJkH/gj79sG+T6+iP2ThYN5krrDJbR1HDnucjL39QsZTSvVjyQLrdk3DXDqI5G2HgLatVs0pWh6Up69HVOw==
— witness.example/w1 I7rEps0pvK2UqkS2gSpVUDhrhVtQV9lgF6pRrWAvjJHjyWpW7VcE3SiOlVlbQNt64vWhO+DlkL0+UfzuOBMh9ChdMkP1vi/lCAsmlw==
— witness.example/w2 AWui8Sk55XjYLOijihBjhqEH6nS1ndDymE0a+6idX7pLcnoB+dhnz0854aLZgrrKbYKA7nC3HNJhm/kWl7oJlqU3rXXvpysAdyP3wQ==
"""
PROOF = """c2sp.org/tlog-proof@v1
index 73894
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=
RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=
AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=

"""
EXTRA = "extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6kYXJ3aW4tYXJ\n"


def test_a_note_whose_text_has_an_empty_line() -> None:
    note = notes.parse(POEM.encode())
    assert note.text.endswith("di sole:\n\ned è subito sera.\n") and str(note) == POEM
    assert [(one.name, len(one.value)) for one in note.signatures] == [("quasimodo.example/salvatore", 64)]


@pytest.mark.parametrize("text", [CHECKPOINT, COSIGNED])
def test_checkpoints_with_and_without_a_cosignature(text: str) -> None:
    note = notes.parse(text.encode())
    ours, read = parse_text(note.text), theirs.read_checkpoint(text.encode())
    assert (ours.origin, ours.size, ours.root) == (read.origin, read.size, read.root)
    assert (ours.origin, ours.size, str(note)) == ("example.com/behind-the-sofa", 20_852_163, text)
    with pytest.raises(Invalid, match="No key known"):  # signatures of keys that nobody configured are ignored
        open_checkpoint(text.encode(), [])
    assert read.signers([]) == set()


def test_a_cosignature_carries_the_time_that_the_text_says() -> None:
    (cosignature,) = [
        one for one in notes.parse(COSIGNED.encode()).signatures if one.name == "witness.example.com/w1"
    ]
    assert int.from_bytes(cosignature.value[:8], "big") == 1_679_315_147 and len(cosignature.value) == 8 + 64


def test_a_request_to_a_witness_reads_and_writes_the_same() -> None:
    read = witnessing.parse_submission(REQUEST.encode())
    assert (read.old, len(read.proof), read.checkpoint.size) == (20_852_014, 4, 20_852_163)
    assert witnessing.format_submission(read.old, read.proof, str(read.note)).decode() == REQUEST


def test_an_answer_of_a_witness_reads_line_by_line_and_unknown_keys_do_not_suffice() -> None:
    lines = [notes.parse_signature(line) for line in ANSWER.splitlines()]
    assert "".join(line.line() for line in lines) == ANSWER
    assert all(len(line.value) == 8 + 64 for line in lines)
    key = notes.VerifierKey("witness.example/w1", notes.COSIGNATURE_ED25519, bytes(32))
    with pytest.raises(Invalid, match="No key known"):
        witnessing.read_cosignatures(ANSWER.encode(), notes.parse(CHECKPOINT.encode()), key)


@pytest.mark.parametrize("extra", ["", EXTRA])
def test_a_proof_reads_and_writes_the_same(extra: str) -> None:
    """The example's own checkpoint is abridged; the one above stands in for it."""
    text = PROOF.replace("index", extra + "index") + CHECKPOINT
    read = proofs.parse_proof(text)
    assert (read.index, len(read.path), proofs.format_proof(read)) == (73_894, 5, text)
    assert read.extra.startswith(b"age-v1.2.1-darwin-arm64.tar.gz") == bool(extra)
    also = their_proofs.read_proof(text.encode())
    assert (also.index, tuple(also.path)) == (read.index, read.path)
    broken = PROOF.replace("index", EXTRA.replace("XJ\n", "X\n") + "index") + CHECKPOINT
    with pytest.raises(Invalid, match="extra data"):
        proofs.parse_proof(broken)
    with pytest.raises(theirs.RefusedError, match="extra data"):
        their_proofs.read_proof(broken.encode())
