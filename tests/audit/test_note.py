"""Signed notes, checkpoints, cosignatures, proofs and quorum policies, against the C2SP texts. Both implementations."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from weighthouse.audit.rules import note as notes
from weighthouse.audit.rules import proof as proofs
from weighthouse.audit.rules import quorum
from weighthouse.audit.rules.checkpoint import (
    Checkpoint,
    check_signature,
    cosignature_message,
    open_checkpoint,
    parse_text,
    sign_note,
    subtree_message,
)
from weighthouse.audit.rules.note import Note, VerifierKey
from weighthouse.audit.rules.tree import EMPTY_ROOT
from weighthouse.core.errors import Invalid
from weighthouse_verify import notes as theirs
from weighthouse_verify import policy as their_policy

# The example of C2SP signed-note v1.0.0.
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
ORIGIN = "example.com/log"
LOG = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
WITNESS = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
SAFE = MLDSA44PrivateKey.from_seed_bytes(b"\x03" * 32)
LOG_KEY = VerifierKey(ORIGIN, notes.ED25519, LOG.public_key().public_bytes_raw())
WITNESS_KEY = VerifierKey("w.example/1", notes.COSIGNATURE_ED25519, WITNESS.public_key().public_bytes_raw())
SAFE_KEY = VerifierKey(ORIGIN, notes.COSIGNATURE_ML_DSA_44, SAFE.public_key().public_bytes_raw())
CHECKPOINT = Checkpoint(ORIGIN, 20_852_163, b"\x09" * 32)


def signed(checkpoint: Checkpoint = CHECKPOINT, *more: notes.Signature) -> str:
    return str(Note(checkpoint.text(), (sign_note(LOG_KEY, LOG.sign, checkpoint, 0), *more)))


def both_refuse(raw: bytes, code: str = "audit.malformed") -> None:
    """Both implementations must refuse these bytes as a signed checkpoint."""
    with pytest.raises(Invalid) as refused:
        open_checkpoint(raw, [LOG_KEY])
    assert refused.value.code == code
    with pytest.raises(theirs.RefusedError):
        theirs.check_signed(theirs.read_checkpoint(raw), [theirs.read_key(LOG_KEY.text())])


def test_the_example_of_the_specification_verifies() -> None:
    key = notes.parse_key(VKEY)
    assert key.text() == VKEY
    note = notes.parse(NOTE.encode())
    assert notes.verify(note, [key], check_signature) == (key,)
    assert str(note) == NOTE


def test_one_changed_letter_of_the_text_is_refused() -> None:
    note = notes.parse(NOTE.replace("example message", "exemple message").encode())
    with pytest.raises(Invalid) as refused:
        notes.verify(note, [notes.parse_key(VKEY)], check_signature)
    assert refused.value.code == "audit.bad_signature"


@pytest.mark.parametrize(
    "text",
    [
        VKEY.replace("530d903a", "530d903b"),
        VKEY.replace("+Aeky", "+Beky"),
        VKEY[:-4],
        "no key",
        VKEY.replace("example.com/foo", "example.com/ foo"),
    ],
)
def test_a_verifier_key_that_is_not_itself_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        notes.parse_key(text)
    with pytest.raises(theirs.RefusedError):
        theirs.read_key(text)


def test_the_signed_message_of_a_cosignature_is_that_of_the_specification() -> None:
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    assert cosignature_message(text, 1_679_315_147).decode() == "cosignature/v1\ntime 1679315147\n" + text
    message = subtree_message("w.example", 7, parse_text(text))
    assert message.startswith(b"subtree/v1\n\x00\x09w.example" + (7).to_bytes(8, "big") + b"\x1bexample.com/behind")
    assert message.endswith(bytes(8) + (20_852_163).to_bytes(8, "big") + parse_text(text).root)


@pytest.mark.parametrize(
    ("key", "sign"), [(LOG_KEY, LOG.sign), (WITNESS_KEY, WITNESS.sign), (SAFE_KEY, SAFE.sign)], ids=["log", "w", "pq"]
)
def test_each_kind_of_signature_verifies_in_both_implementations(
    key: VerifierKey, sign: Callable[[bytes], bytes]
) -> None:
    note = Note(CHECKPOINT.text(), (sign_note(key, sign, CHECKPOINT, 1_700_000_000),))
    assert notes.verify(notes.parse(str(note).encode()), [key], check_signature) == (key,)
    read = theirs.read_checkpoint(str(note).encode())
    assert read.signers([theirs.read_key(key.text())])
    forged = str(note).replace("20852163", "20852164").encode()
    with pytest.raises(Invalid):
        notes.verify(notes.parse(forged), [key], check_signature)
    with pytest.raises(theirs.RefusedError):
        theirs.read_checkpoint(forged).signers([theirs.read_key(key.text())])


def test_case_16_wrong_origin_is_refused() -> None:
    checkpoint = Checkpoint("example.com/other", 1, b"\x01" * 32)
    both_refuse(signed(checkpoint).encode(), "audit.bad_signature")


def test_case_16_unknown_keys_are_ignored_but_do_not_suffice() -> None:
    cosignature = sign_note(WITNESS_KEY, WITNESS.sign, CHECKPOINT, 5)
    open_checkpoint(signed(CHECKPOINT, cosignature).encode(), [LOG_KEY])
    both_refuse(str(Note(CHECKPOINT.text(), (cosignature,))).encode(), "audit.bad_signature")


def test_case_16_a_bad_signature_of_a_known_key_spoils_the_note_even_beside_a_good_one() -> None:
    good = sign_note(LOG_KEY, LOG.sign, CHECKPOINT, 0)
    bad = notes.Signature(good.name, good.key_id, bytes(64))
    both_refuse(str(Note(CHECKPOINT.text(), (good, bad))).encode(), "audit.bad_signature")


def test_case_16_a_duplicate_signature_counts_once() -> None:
    cosignature = sign_note(WITNESS_KEY, WITNESS.sign, CHECKPOINT, 5)
    note = notes.parse(signed(CHECKPOINT, cosignature, cosignature).encode())
    assert notes.verify(note, [LOG_KEY, WITNESS_KEY], check_signature) == (LOG_KEY, WITNESS_KEY)
    assert len(note.with_signatures([cosignature]).signatures) == 2


@pytest.mark.parametrize("size", ["00", "01", "-1", "1.0", "1e3", str(2**63), "9" * 40, "", "٣", " 1"])
def test_case_16_sizes_that_are_not_plain_numbers_are_refused(size: str) -> None:
    text = f"{ORIGIN}\n{size}\n{base64.b64encode(bytes(32)).decode()}\n"
    value = LOG.sign(text.encode())
    both_refuse(str(Note(text, (notes.Signature(ORIGIN, LOG_KEY.id, value),))).encode())


def test_case_16_the_size_zero_has_the_empty_root_only() -> None:
    both_refuse(signed(Checkpoint(ORIGIN, 0, b"\x09" * 32)).encode())
    assert open_checkpoint(signed(Checkpoint(ORIGIN, 0, EMPTY_ROOT)).encode(), [LOG_KEY])[0].size == 0
    assert open_checkpoint(signed(Checkpoint(ORIGIN, 2**63 - 1, EMPTY_ROOT)).encode(), [LOG_KEY])[0].size == 2**63 - 1


def test_case_16_extension_lines_are_read_over_and_empty_lines_refused() -> None:
    extended = Checkpoint(ORIGIN, 3, b"\x09" * 32, ("anything",))
    found, _ = open_checkpoint(signed(extended).encode(), [LOG_KEY])
    assert found == extended
    assert theirs.read_checkpoint(signed(extended).encode()).size == 3
    both_refuse(signed(Checkpoint(ORIGIN, 3, b"\x09" * 32, ("", "anything"))).encode())


@pytest.mark.parametrize(
    "change",
    [
        lambda note: note.replace(b"\n\n", b"\n"),
        lambda note: note[:-1],
        lambda note: note.replace(b"log\n", b"log\r\n", 1),
        lambda note: note + b"\xff\n",
        lambda note: note + b"no dash AAAA\n",
        lambda note: note.replace("— ".encode(), b"- "),
        lambda note: note + "— short AAAA\n".encode(),
        lambda note: note[:-2] + b"\n",
        lambda note: b"x" * 300_000,
    ],
)
def test_case_16_malformed_notes_are_refused(change: Callable[[bytes], bytes]) -> None:
    both_refuse(change(signed().encode()))


def test_a_proof_round_trips_and_each_defect_is_refused() -> None:
    proof = proofs.Proof(3, (b"\x01" * 32, b"\x02" * 32), signed(), extra=b"hint")
    text = proofs.format_proof(proof)
    assert proofs.parse_proof(text) == proof
    for broken in (
        text.replace("@v1", "@v2"),
        text.replace("index 3", "index 03"),
        text.replace("index 3\n", ""),
        text.replace("\n\n", "\n", 1),
        text.replace("AQEB", "AQE", 1),
        text.replace("index 3\n", "index 3\n" + (base64.b64encode(bytes(32)).decode() + "\n") * 64),
    ):
        with pytest.raises(Invalid):
            proofs.check_proof(proofs.parse_proof(broken), b"leaf", [LOG_KEY])


def witness_key(number: int) -> VerifierKey:
    private = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    return VerifierKey(f"w{number}", notes.COSIGNATURE_ED25519, private.public_key().public_bytes_raw())


POLICY = "\n".join(
    (
        f"log {LOG_KEY.text()} https://log.example",
        *(f"witness X{n}\t{witness_key(n).text()}" for n in (1, 2, 3)),
        "group X-witnesses 2 X1 X2 X3",
        *(f"witness Y{n} {witness_key(n).text()}" for n in (4, 5)),
        "  # either of them",
        "group Y-witnesses any Y4 Y5",
        "group both all X-witnesses Y-witnesses",
        "quorum both",
    )
)


@pytest.mark.parametrize(
    ("signers", "reached"),
    [
        ((1, 2, 4), True),
        ((1, 3, 5), True),
        ((1, 2, 3), False),
        ((1, 4, 5), False),
        ((), False),
        ((1, 2, 3, 4, 5), True),
    ],
)
def test_the_quorum_of_a_policy_is_counted_by_group(signers: tuple[int, ...], reached: bool) -> None:
    assert quorum.parse_policy(POLICY).satisfied([witness_key(n) for n in signers]) is reached
    keys = {theirs.read_key(witness_key(n).text()) for n in signers}
    assert their_policy.read_policy(POLICY).reached(keys) is reached


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("quorum both", ""),
        lambda text: text + "\nquorum none",
        lambda text: text.replace("quorum both", "quorum nobody"),
        lambda text: text.replace(" 2 X1", " 4 X1"),
        lambda text: text.replace(" 2 X1", " 0 X1"),
        lambda text: text.replace("any Y4 Y5", "any Y4 Y4"),
        lambda text: text.replace("any Y4 Y5", "any Y4 X1"),
        lambda text: text.replace("witness Y5", "witness Y4"),
        lambda text: text.replace(witness_key(5).text(), witness_key(4).text()),
        lambda text: text.replace(witness_key(5).text(), LOG_KEY.text()),
        lambda text: text.replace("witness Y5", "wittness Y5"),
        lambda text: text.replace("group both", "group none"),
        lambda text: text.replace(" 2 X1", " " + "9" * 5000 + " X1"),
        lambda text: text.replace("quorum both", "quorum both\r"),
        lambda text: text.replace("witness Y5", "witness\x0bY5"),
    ],
)
def test_a_policy_that_is_ambiguous_or_impossible_is_refused_by_line(change: Callable[[str], str]) -> None:
    with pytest.raises(Invalid, match="policy"):
        quorum.parse_policy(change(POLICY))
    with pytest.raises(theirs.RefusedError):
        their_policy.read_policy(change(POLICY))


def test_names_in_a_policy_are_opaque_octets() -> None:
    text = POLICY.replace("Y5", "\u212a\udcff")
    assert quorum.parse_policy(text).satisfied([witness_key(n) for n in (1, 2, 5)])
    assert their_policy.read_policy(text).reached({theirs.read_key(witness_key(n).text()) for n in (1, 2, 5)})
    with pytest.raises(Invalid, match="not defined"):  # a Kelvin sign is no letter K
        quorum.parse_policy(text.replace("any Y4 \u212a\udcff", "any Y4 K\udcff"))


def test_no_quorum_is_said_as_none() -> None:
    assert quorum.parse_policy("quorum none\n").satisfied([])
    assert their_policy.read_policy("quorum none\n").reached(set())
