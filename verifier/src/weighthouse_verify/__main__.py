"""The command `weighthouse-verify`. Guards scripts by stable exit codes: 0 all good, 1 a problem, 2 wrong usage."""

from __future__ import annotations

import argparse
import base64
import io
import sys
from pathlib import Path

from weighthouse_verify.exported import check_export
from weighthouse_verify.folder import FolderCheck, split_bundle
from weighthouse_verify.notes import Checkpoint, Key, RefusedError, check_signed, read_checkpoint, read_key
from weighthouse_verify.policy import Policy, read_policy
from weighthouse_verify.proof import Proof, check_inclusion, read_proof
from weighthouse_verify.reading import (
    MAX_BUNDLE,
    MAX_ENTRY,
    MAX_EXPORT,
    MAX_NOTE,
    MAX_PROOF,
    MAX_TEXT,
    is_plain,
    read_plain,
)
from weighthouse_verify.report import Report
from weighthouse_verify.tree import WIDTH, tile_name

OK, PROBLEM, USAGE = 0, 1, 2


class UsageError(Exception):
    """The command line does not make sense."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="weighthouse-verify",
        description="Check an exported log, or one proof, offline. Exit code: 0 good, 1 a problem, 2 wrong usage.",
    )
    parser.add_argument("log", nargs="?", type=Path, metavar="LOG_FOLDER", help="an export (C2SP tlog-tiles)")
    parser.add_argument(
        "--key", action="append", default=[], help="the log's verifier key, or a file with such lines"
    )
    parser.add_argument("--proof", type=Path, help="a tlog-proof file to check instead of the whole folder")
    parser.add_argument(
        "--leaf", type=Path, help="the entry the proof is for; without it, it is taken from LOG_FOLDER"
    )
    parser.add_argument("--export", type=Path, help="a bundle of weights that the lab has let out")
    parser.add_argument("--witness-policy", type=Path, help="a tlog-policy file: its quorum must have cosigned")
    parser.add_argument("--old-checkpoint", type=Path, help="a checkpoint seen earlier, which the log must continue")
    parser.add_argument("--strict", action="store_true", help="also read every entry as strict canonical JSON")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="how to print the outcome")
    return parser


def _bytes(path: Path, limit: int) -> bytes:
    try:
        return read_plain(path, limit)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def _lines(text: bytes) -> list[str]:
    return [line for line in text.decode("utf-8", "replace").split("\n") if line.strip()]


def _keys(given: list[str], folder: Path | None, policy: Policy | None, report: Report) -> list[Key]:
    lines: list[str] = []
    for item in given:
        lines.extend([item] if "+" in item and not is_plain(Path(item)) else _lines(_bytes(Path(item), MAX_TEXT)))
    try:
        keys = [read_key(line) for line in lines] + (policy.logs if policy else [])
        if not keys and folder is not None and is_plain(folder / "log.vkey"):
            keys = [read_key(line) for line in _lines(_bytes(folder / "log.vkey", MAX_TEXT))]
            report.notes.append(
                "the log's key was taken from the folder itself: this shows that the log is whole, not whose it is; "
                "give --key to know that"
            )
    except RefusedError as error:
        raise UsageError(str(error)) from None
    if not keys:
        raise UsageError("give the log's verifier key with --key")
    return keys


def _witnessed(policy: Policy, checkpoint: Checkpoint) -> bool:
    return policy.reached(checkpoint.signers(policy.witnesses.values()))


def _describe(report: Report, checkpoint: Checkpoint) -> None:
    report.origin, report.size = checkpoint.origin, checkpoint.size
    report.root = base64.b64encode(checkpoint.root).decode()


def _load(path: Path, keys: list[Key], report: Report, where: str) -> Checkpoint | None:
    """Read a checkpoint and check its signature: None if it is malformed; one that is not signed is read on."""
    try:
        checkpoint = read_checkpoint(read_plain(path, MAX_NOTE))
    except OSError as error:
        report.problem(-1, where, f"the file is missing or cannot be read ({error.strerror})")
        return None
    except RefusedError as error:
        report.problem(-1, where, str(error))
        return None
    try:
        check_signed(checkpoint, keys)
    except RefusedError as error:
        report.problem(-1, where, str(error))
    return checkpoint


def check_folder(
    folder: Path, keys: list[Key], policy: Policy | None, old: Path | None, strict: bool, report: Report
) -> None:
    """Check a whole export, its history against an older checkpoint, and its cosignatures against a policy."""
    checkpoint = _load(folder / "checkpoint", keys, report, "checkpoint")
    if checkpoint is None:
        return
    _describe(report, checkpoint)
    earlier: dict[str, Checkpoint] = {}
    if old is not None:
        _bytes(old, MAX_NOTE)
        found = _load(old, keys, report, "old checkpoint")
        if found is not None:
            earlier["old checkpoint"] = found
    if policy is not None:
        _judge_quorum(folder, keys, policy, checkpoint, earlier, report)
    for where, known in earlier.items():
        if known.origin != checkpoint.origin:
            report.problem(-1, where, f"it is of another log, '{known.origin}'")
        elif known.size > checkpoint.size:
            report.problem(
                checkpoint.size, where, f"the log has lost entries: it once had {known.size}, now {checkpoint.size}"
            )
    sizes = tuple(known.size for known in earlier.values())
    check = FolderCheck(folder, checkpoint.size, checkpoint.root, strict=strict, sizes=sizes)
    report.problems.extend(check.run())
    for where, known in earlier.items():
        if known.size <= checkpoint.size and check.root_at(known.size) not in (known.root, None):
            report.problem(
                -1, where, f"the first {known.size} entries are not those it vouched for: the log was forked"
            )
    report.problems.sort()


def _judge_quorum(
    folder: Path,
    keys: list[Key],
    policy: Policy,
    checkpoint: Checkpoint,
    earlier: dict[str, Checkpoint],
    report: Report,
) -> None:
    try:
        if _witnessed(policy, checkpoint):
            return
        if is_plain(folder / "checkpoint.cosigned"):
            cosigned = _load(folder / "checkpoint.cosigned", keys, report, "checkpoint.cosigned")
            if cosigned is not None and _witnessed(policy, cosigned):
                earlier["checkpoint.cosigned"] = cosigned
                rest = checkpoint.size - cosigned.size
                report.notes.append(f"witnesses vouch for the first {cosigned.size} entries; the last {rest} wait")
                return
        report.problem(-1, "checkpoint", "the quorum of witnesses has not cosigned it")
    except RefusedError as error:
        report.problem(-1, "checkpoint", str(error))


def _leaf_of(folder: Path | None, leaf: Path | None, proof: Proof) -> bytes:
    if leaf is not None:
        return _bytes(leaf, MAX_ENTRY)
    if folder is None:
        raise UsageError("give the entry with --leaf, or the LOG_FOLDER to take it from")
    size = read_checkpoint(_bytes(folder / "checkpoint", MAX_NOTE)).size
    number = proof.index // WIDTH
    width = min(WIDTH, size - number * WIDTH)
    name = tile_name("entries", number, width)
    entries = list(split_bundle(_bytes(folder / name, MAX_BUNDLE))) if width > 0 else []
    if proof.index % WIDTH >= len(entries):
        raise RefusedError(f"the folder holds no entry {proof.index}")
    return entries[proof.index % WIDTH]


def check_proof(
    path: Path, folder: Path | None, leaf: Path | None, keys: list[Key], policy: Policy | None, report: Report
) -> None:
    """Check one proof: its signatures, its path, and the quorum if a policy is given."""
    where, index = "proof", -1
    try:
        proof = read_proof(_bytes(path, MAX_PROOF))
        _describe(report, proof.checkpoint)
        where = "checkpoint"
        check_signed(proof.checkpoint, keys)
        if policy is not None and not _witnessed(policy, proof.checkpoint):
            raise RefusedError("the quorum of witnesses has not cosigned it")
        where = index_name = f"entry {proof.index}"
        index = proof.index
        check_inclusion(proof, _leaf_of(folder, leaf, proof))
        report.subject = f"{index_name} by {path}"
    except RefusedError as error:
        report.problem(index, where, str(error))


def check_bundle(path: Path, keys: list[Key], report: Report) -> None:
    """Check what a lab has exported: its statement, its certificate, the manifest and the line of its log."""
    try:
        said, checkpoint = check_export(_bytes(path, MAX_EXPORT), keys)
        _describe(report, checkpoint)
        report.subject = f"export of {said['version']} to {said['destination']} by {path}"
    except RefusedError as error:
        report.problem(-1, "export", str(error))


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code."""
    given = _parser().parse_args(arguments)
    report = Report(subject=str(given.export or given.proof or given.log))
    try:
        if given.log is None and given.proof is None and given.export is None:
            raise UsageError("give a LOG_FOLDER, a --proof or an --export")
        if given.log is not None and not given.log.is_dir():
            raise UsageError(f"{given.log} is not a folder")
        try:
            policy = (
                read_policy(_bytes(given.witness_policy, MAX_TEXT).decode("utf-8", "surrogateescape"))
                if given.witness_policy
                else None
            )
        except RefusedError as error:
            raise UsageError(str(error)) from None
        keys = _keys(given.key, given.log, policy, report)
        if given.export is not None:
            check_bundle(given.export, keys, report)
        elif given.proof is not None:
            check_proof(given.proof, given.log, given.leaf, keys, policy, report)
        else:
            check_folder(given.log, keys, policy, given.old_checkpoint, given.strict, report)
    except UsageError as error:
        print(f"weighthouse-verify: {error}", file=sys.stderr)
        return USAGE
    print(report.as_json() if given.output == "json" else report.as_text())
    return OK if report.ok else PROBLEM


def run() -> None:
    """Entry point of the installed command."""
    # A path or an origin may hold what this terminal has no letters for: it is escaped, and the outcome stands.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
