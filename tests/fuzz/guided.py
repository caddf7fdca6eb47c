"""Runs Atheris (libFuzzer over Python's own coverage) on one target: `python -m tests.fuzz.guided TARGET [options]`.

Options are libFuzzer's; the last one names the folder of the corpus, which begins with the target's seeds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["weighthouse", "weighthouse_sdk"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Fuzz until an error that is not the target's own, or until the time is up."""
    name, corpus = sys.argv[1], Path(sys.argv[-1])
    target = TARGETS[name]
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)

    def one(data: bytes) -> None:
        try:
            target.run(data)
        except target.allowed:
            return

    atheris.Setup([sys.argv[0], *sys.argv[2:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
