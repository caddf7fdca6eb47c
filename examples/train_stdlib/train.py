"""Continues a checkpoint on the sources of Python's standard library, inside a sandboxed run.

Loads the parent through the run's one socket, trains, reports progress and loss, and saves the child: encrypted
before it leaves this process, and visible to nobody until the control plane has committed its manifest. Then it
loads the child back and compares every byte. Exits with 3 if the loss on held-out text did not fall, with 4 if a byte
differs. Without a parent it begins from fresh parameters.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import model
import numpy as np

from weighthouse_sdk.workload import Workload

MEBIBYTE = 1 << 20
BLOCK = 4096
HELD_OUT = 16


def read_text(folder: Path, most: int) -> np.ndarray:
    """Return source text of the folder's own modules, at most `most` bytes, in a fixed order, as ASCII tokens."""
    taken, size = [], 0
    for path in sorted(folder.glob("*.py")) + sorted(folder.glob("asyncio/*.py")) + sorted(folder.glob("json/*.py")):
        data = path.read_bytes()[: most - size]
        taken.append(data)
        size += len(data)
        if size >= most:
            break
    text = np.frombuffer(b"".join(taken), np.uint8)
    return np.minimum(text, model.VOCABULARY - 1)


def windows(text: np.ndarray, starts: np.ndarray, context: int) -> np.ndarray:
    """Return one row of `context + 1` tokens for each start."""
    return text[starts[:, None] + np.arange(context + 1)]


def batches(text: np.ndarray, seed: int, batch: int, context: int) -> Iterator[np.ndarray]:
    """Yield random windows for ever; the same seed yields the same ones."""
    random = np.random.default_rng(seed)
    while True:
        yield windows(text, random.integers(0, len(text) - context - 1, batch), context)


def split(text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (held out, rest): every sixteenth block of 4 KiB is held out, so that both are of the same kind.

    The tail alone would be whatever file comes last, which may look like nothing else in the text.
    """
    blocks = text[: len(text) // BLOCK * BLOCK].reshape(-1, BLOCK)
    out = np.arange(len(blocks)) % HELD_OUT == HELD_OUT // 2
    return blocks[out].ravel(), blocks[~out].ravel()


def train(
    tensors: model.Tensors, text: np.ndarray, *, steps: int, batch: int, seed: int, workload: Workload | None = None
) -> tuple[float, float]:
    """Train in place; return the loss on held-out text before and after."""
    context = tensors["embed.position"].shape[0]
    held_out, rest = split(text)
    check = windows(held_out, np.linspace(0, len(held_out) - context - 2, 64).astype(int), context)
    before = model.loss_and_gradient(tensors, check)[0]
    optimizer = model.Adam(tensors)
    for step, tokens in enumerate(batches(rest, seed, batch, context), 1):
        loss, gradient = model.loss_and_gradient(tensors, tokens)
        optimizer.update(tensors, gradient)
        if step % max(1, steps // 10) == 0:
            print(f"step {step:4d} of {steps}: loss {loss:.4f}", flush=True)
            if workload is not None:
                workload.progress(
                    progress=step * 1000 // steps, loss=round(loss * 1e6), note=f"step {step} of {steps}"
                )
        if step == steps:
            break
    return before, model.loss_and_gradient(tensors, check)[0]


def main() -> int:
    asked = argparse.ArgumentParser(description="Continue a checkpoint on the standard library's sources.")
    asked.add_argument("--steps", type=int, default=200)
    asked.add_argument("--batch", type=int, default=16)
    asked.add_argument("--seed", type=int, default=7)
    asked.add_argument("--data", type=Path, default=Path("/data"))
    options = asked.parse_args()

    workload, parent = Workload(), os.environ.get("WEIGHTHOUSE_PARENT") or None
    if parent is None:
        tensors = model.fresh(options.seed)
    else:
        # Copies, since what is loaded may be read-only views of shared buffers.
        tensors = {name: np.array(value) for name, value in workload.load(parent).items()}
        print(f"loaded {parent}: {len(tensors)} tensors", flush=True)
    text = read_text(options.data, 2 * MEBIBYTE)
    began = time.monotonic()
    before, after = train(
        tensors, text, steps=options.steps, batch=options.batch, seed=options.seed, workload=workload
    )
    print(f"held-out loss {before:.4f} -> {after:.4f} in {time.monotonic() - began:.1f} s", flush=True)
    if not after < before:
        print("the loss did not fall; nothing is saved", file=sys.stderr)
        return 3
    facts = {"loss_before": f"{before:.4f}", "loss_after": f"{after:.4f}", "steps": str(options.steps)}
    saved = workload.save(os.environ["WEIGHTHOUSE_MODEL"], tensors, parent=parent, metadata=facts)
    back = workload.load(saved["id"])
    same = back.keys() == tensors.keys() and all(
        back[name].tobytes() == np.asarray(value).tobytes() for name, value in tensors.items()
    )
    result = {
        "version": saved["id"],
        "loss_before": round(before * 1e6),
        "loss_after": round(after * 1e6),
        "loaded_back": "bit for bit" if same else "changed",
    }
    print("RESULT " + json.dumps(result), flush=True)
    return 0 if same else 4


if __name__ == "__main__":
    sys.exit(main())
