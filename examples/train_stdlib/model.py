"""A small byte-level transformer in NumPy, with its gradient written out. Nothing hidden, nothing to download.

Decoder-only: token and position embeddings, layers of causal attention and a ReLU feed-forward, RMS norms, an untied
head. Tensors live in one flat dictionary of float32 arrays, which is also what a checkpoint holds.
"""

from __future__ import annotations

import numpy as np

VOCABULARY = 128  # ASCII; every other byte is read as 127
EPSILON = 1e-5

Tensors = dict[str, np.ndarray]


def fresh(seed: int = 7, width: int = 64, layers: int = 2, context: int = 64) -> Tensors:
    """Return untrained parameters; the same seed gives the same bits."""
    random = np.random.default_rng(seed)

    def normal(*shape: int, scale: float = 0.02) -> np.ndarray:
        return (random.standard_normal(shape) * scale).astype(np.float32)

    made = {"embed.token": normal(VOCABULARY, width), "embed.position": normal(context, width)}
    for layer in range(layers):
        name = f"layer.{layer}."
        made[name + "attention.norm"] = np.ones(width, np.float32)
        made[name + "attention.in"] = normal(width, 3 * width)
        made[name + "attention.out"] = normal(width, width, scale=0.02 / (2 * layers) ** 0.5)
        made[name + "feed.norm"] = np.ones(width, np.float32)
        made[name + "feed.in"] = normal(width, 4 * width)
        made[name + "feed.out"] = normal(4 * width, width, scale=0.02 / (2 * layers) ** 0.5)
    made["head.norm"] = np.ones(width, np.float32)
    made["head.out"] = normal(width, VOCABULARY)
    return made


def layer_count(tensors: Tensors) -> int:
    """Return how many layers a set of parameters has."""
    return sum(name.endswith("attention.in") for name in tensors)


def loss_and_gradient(tensors: Tensors, tokens: np.ndarray, heads: int = 4) -> tuple[float, Tensors]:
    """Return the mean cross-entropy (nats a byte) of predicting each next token, and its gradient.

    `tokens` has shape (batch, context + 1).
    """
    seen, wanted = tokens[:, :-1], tokens[:, 1:]
    hidden = tensors["embed.token"][seen] + tensors["embed.position"][: seen.shape[1]]
    steps = []
    for layer in range(layer_count(tensors)):
        name = f"layer.{layer}."
        hidden, attention = _attention(tensors, name + "attention.", hidden, heads)
        hidden, feed = _feed(tensors, name + "feed.", hidden)
        steps.append((name, attention, feed))
    normed, kept = _norm(hidden, tensors["head.norm"])
    logits = normed @ tensors["head.out"]
    logits -= logits.max(-1, keepdims=True)
    chances = np.exp(logits)
    chances /= chances.sum(-1, keepdims=True)
    rows = np.arange(wanted.size)
    picked = chances.reshape(-1, chances.shape[-1])[rows, wanted.ravel()]
    loss = float(-np.log(picked + 1e-12).mean())

    slope = chances
    slope.reshape(-1, slope.shape[-1])[rows, wanted.ravel()] -= 1
    slope /= wanted.size
    gradient: Tensors = {"head.out": _outer(normed, slope)}
    back, gradient["head.norm"] = _norm_back(slope @ tensors["head.out"].T, tensors["head.norm"], kept)
    for name, attention, feed in reversed(steps):
        back = _feed_back(tensors, name + "feed.", back, feed, gradient)
        back = _attention_back(tensors, name + "attention.", back, attention, gradient)
    gradient["embed.position"] = np.zeros_like(tensors["embed.position"])
    gradient["embed.position"][: seen.shape[1]] = back.sum(0)
    gradient["embed.token"] = np.zeros_like(tensors["embed.token"])
    np.add.at(gradient["embed.token"], seen.ravel(), back.reshape(-1, back.shape[-1]))
    return loss, gradient


def _outer(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Sum of outer products over batch and time: the gradient of a matrix product."""
    return left.reshape(-1, left.shape[-1]).T @ right.reshape(-1, right.shape[-1])


def _norm(values: np.ndarray, gain: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    scale = 1 / np.sqrt((values * values).mean(-1, keepdims=True) + EPSILON)
    return values * scale * gain, (values, scale)


def _norm_back(
    slope: np.ndarray, gain: np.ndarray, kept: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    values, scale = kept
    gained = slope * gain
    back = scale * gained - values * scale**3 * (gained * values).mean(-1, keepdims=True)
    return back, (slope * values * scale).sum((0, 1))


def _split(values: np.ndarray, heads: int) -> np.ndarray:
    batch, time, width = values.shape
    return values.reshape(batch, time, heads, width // heads).transpose(0, 2, 1, 3)


def _join(values: np.ndarray) -> np.ndarray:
    batch, heads, time, width = values.shape
    return values.transpose(0, 2, 1, 3).reshape(batch, time, heads * width)


def _attention(tensors: Tensors, name: str, hidden: np.ndarray, heads: int) -> tuple[np.ndarray, tuple]:
    normed, kept = _norm(hidden, tensors[name + "norm"])
    query, key, value = (_split(part, heads) for part in np.split(normed @ tensors[name + "in"], 3, axis=-1))
    time, factor = hidden.shape[1], np.float32(query.shape[-1] ** -0.5)
    scores = query @ key.transpose(0, 1, 3, 2) * factor
    scores += np.triu(np.full((time, time), -1e9, scores.dtype), 1)
    scores -= scores.max(-1, keepdims=True)
    weights = np.exp(scores)
    weights /= weights.sum(-1, keepdims=True)
    mixed = _join(weights @ value)
    return hidden + mixed @ tensors[name + "out"], (kept, normed, query, key, value, weights, mixed, factor)


def _attention_back(tensors: Tensors, name: str, slope: np.ndarray, step: tuple, gradient: Tensors) -> np.ndarray:
    kept, normed, query, key, value, weights, mixed, factor = step
    gradient[name + "out"] = _outer(mixed, slope)
    back = _split(slope @ tensors[name + "out"].T, query.shape[1])
    of_weights = back @ value.transpose(0, 1, 3, 2)
    of_scores = weights * (of_weights - (of_weights * weights).sum(-1, keepdims=True)) * factor
    parts = (of_scores @ key, of_scores.transpose(0, 1, 3, 2) @ query, weights.transpose(0, 1, 3, 2) @ back)
    together = np.concatenate([_join(part) for part in parts], axis=-1)
    gradient[name + "in"] = _outer(normed, together)
    through, gradient[name + "norm"] = _norm_back(together @ tensors[name + "in"].T, tensors[name + "norm"], kept)
    return slope + through


def _feed(tensors: Tensors, name: str, hidden: np.ndarray) -> tuple[np.ndarray, tuple]:
    normed, kept = _norm(hidden, tensors[name + "norm"])
    active = np.maximum(normed @ tensors[name + "in"], 0)
    return hidden + active @ tensors[name + "out"], (kept, normed, active)


def _feed_back(tensors: Tensors, name: str, slope: np.ndarray, step: tuple, gradient: Tensors) -> np.ndarray:
    kept, normed, active = step
    gradient[name + "out"] = _outer(active, slope)
    back = (slope @ tensors[name + "out"].T) * (active > 0)
    gradient[name + "in"] = _outer(normed, back)
    through, gradient[name + "norm"] = _norm_back(back @ tensors[name + "in"].T, tensors[name + "norm"], kept)
    return slope + through


class Adam:
    """Adam (Kingma and Ba 2015) over a dictionary of tensors, in place."""

    def __init__(self, tensors: Tensors, rate: float = 3e-3) -> None:
        self._rate, self._step = rate, 0
        self._first = {name: np.zeros_like(value) for name, value in tensors.items()}
        self._second = {name: np.zeros_like(value) for name, value in tensors.items()}

    def update(self, tensors: Tensors, gradient: Tensors) -> None:
        """Move every tensor one step against its gradient, clipped to a norm of 1 over all of them."""
        self._step += 1
        size = float(np.sqrt(sum(float((value * value).sum()) for value in gradient.values())))
        shrink = np.float32(min(1.0, 1.0 / (size + 1e-6)))
        rate = np.float32(self._rate * (1 - 0.99**self._step) ** 0.5 / (1 - 0.9**self._step))
        for name, value in gradient.items():
            slope = value * shrink
            first, second = self._first[name], self._second[name]
            first += np.float32(0.1) * (slope - first)
            second += np.float32(0.01) * (slope * slope - second)
            tensors[name] -= rate * first / (np.sqrt(second) + np.float32(1e-8))
