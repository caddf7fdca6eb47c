"""A run's loss as a line to draw. Guards the reader from a curve that lies: its ends and extremes are told in words.

The points are numbers of a workload; whatever they are, the line stays inside its frame and the words are finite.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from weighthouse.runs.model import Point

WIDTH, HEIGHT, MARGIN = 600, 140, 6


class Curve(msgspec.Struct, frozen=True):
    """`line` is the value of an SVG polyline's `points` in a frame of WIDTH by HEIGHT; the rest are losses."""

    line: str
    reports: int
    first: float
    lowest: float
    highest: float
    last: float


def draw(points: Sequence[Point]) -> Curve | None:
    """Return the curve of at least two reports in order, None before there are two."""
    if len(points) < 2:
        return None
    values = [point.loss_micro for point in points]
    low, high = min(values), max(values)
    begin, span = points[0].number, max(1, points[-1].number - points[0].number)
    inner = HEIGHT - 2 * MARGIN
    placed = [
        (
            (point.number - begin) * WIDTH / span,
            MARGIN + inner * ((high - point.loss_micro) / (high - low) if high > low else 0.5),
        )
        for point in points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    first, last = values[0] / 1e6, values[-1] / 1e6
    return Curve(line, points[-1].number, first, low / 1e6, high / 1e6, last)
