"""The example training: its gradient is the true one, its loss falls, and the same seed gives the same bits."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_stdlib"


@pytest.fixture
def example() -> Iterator[tuple[ModuleType, ModuleType]]:
    """The example's two files, imported as the run does."""
    loaded = []
    for name in ("model", "train"):
        spec = importlib.util.spec_from_file_location(name, EXAMPLE / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        loaded.append(module)
    yield loaded[0], loaded[1]
    for name in ("model", "train"):
        del sys.modules[name]


def test_the_gradient_is_the_slope_of_the_loss(example: tuple[ModuleType, ModuleType]) -> None:
    model, _ = example
    random = np.random.default_rng(3)
    tensors = {k: v.astype(np.float64) * 3 for k, v in model.fresh(5, width=8, layers=2, context=6).items()}
    tokens = random.integers(0, model.VOCABULARY, (2, 7))
    _, gradient = model.loss_and_gradient(tensors, tokens, heads=2)
    for name, value in tensors.items():
        slope = gradient[name]
        at = np.unravel_index(int(np.abs(slope).argmax()), slope.shape)
        losses = []
        for shift in (1e-5, -1e-5):
            value[at] += shift
            losses.append(model.loss_and_gradient(tensors, tokens, heads=2)[0])
            value[at] -= shift
        assert (losses[0] - losses[1]) / 2e-5 == pytest.approx(slope[at], rel=1e-4), name


def test_the_loss_falls_and_the_same_seed_gives_the_same_bits(example: tuple[ModuleType, ModuleType]) -> None:
    model, train = example
    text = train.read_text(Path(sysconfig.get_path("stdlib")), 1 << 19)
    runs = []
    for _ in range(2):
        tensors = model.fresh(7)
        before, after = train.train(tensors, text, steps=20, batch=8, seed=7)
        assert after < before - 1.0
        runs.append(tensors)
    assert all(np.array_equal(runs[0][name], runs[1][name]) for name in runs[0])
