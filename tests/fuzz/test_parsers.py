"""No parser of hostile bytes answers with anything but its value or its own refusal (the table is targets.py).

`make test` tries the same few hundred mutants of each seed every time. `make soak` runs Atheris, guided by coverage,
for WEIGHTHOUSE_FUZZ_SECONDS on each target (`python -m tests.fuzz.guided TARGET` runs one by hand).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

MUTANTS = 150
SECONDS = int(os.environ.get("WEIGHTHOUSE_FUZZ_SECONDS", "60"))
# What has broken parsers before: numbers at borders, escapes, separators doubled, depth, other alphabets' digits.
PIECES = [
    *(b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\\u0000", b"\\ud800", b"\r\n", b"\n\n", b"%00", b"%ff", b"..", b"::"),
    *(b"[" * 5_000, b'{"a":' * 2_000, b"9" * 5_000, b"-1", b"--1", b"1e999", b"NaN", b"null", b"true", b'""', b"{}"),
    *(
        b"18446744073709551616",
        b"9007199254740993",
        "²".encode(),
        "٣".encode(),
        "\u202e".encode(),
        "é".encode(),
        b"'",
    ),
    *(b'"' * 3, b"a" * 140_000, b"=", b"-", b"+", b".", b",", b"\x1b[2J", b"&a *a", b"!!python/object:a", b"\x7f"),
]


def mutants(name: str, seeds: tuple[bytes, ...], count: int) -> Iterator[bytes]:
    """Yield damaged copies of the seeds, the same every time."""
    chance = random.Random(zlib.crc32(name.encode()))
    yield from PIECES
    for _ in range(count):
        made = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 4)):
            at, end = sorted((chance.randrange(len(made) + 1), chance.randrange(len(made) + 1)))
            match chance.randrange(5):
                case 0:
                    made[at:at] = chance.choice(PIECES)
                case 1:
                    made[at : at + chance.randint(1, 8)] = chance.choice(PIECES)
                case 2:
                    del made[at : min(end, at + 40)]
                case 3:
                    made[at:at] = made[at : min(end, at + 200)]
                case _ if made:
                    made[at % len(made)] ^= 1 << chance.randrange(8)
        yield bytes(made)


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_refuses_in_its_own_words_or_reads(name: str) -> None:
    target = TARGETS[name]
    for data in (*target.seeds, *mutants(name, target.seeds, MUTANTS)):
        try:
            target.run(data)
        except target.allowed:
            pass
        except Exception as error:
            raise AssertionError(f"{name} on {data[:300]!r} ({len(data)} bytes): {error!r}") from error


@pytest.mark.soak
@pytest.mark.timeout(SECONDS * 3 + 120)
@pytest.mark.parametrize("name", TARGETS)
def test_a_guided_fuzzer_finds_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    command = [sys.executable, "-m", "tests.fuzz.guided", name, f"-max_total_time={SECONDS}", f"{tmp_path}/corpus"]
    command += ["-timeout=20", "-rss_limit_mb=3000", f"-artifact_prefix={tmp_path}/", "-max_len=65536", "-seed=7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS * 3 + 100)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
