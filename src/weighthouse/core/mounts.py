"""Where in its own file system a path lies. Guards from taking two names of one folder for two folders.

A bind mount shows a folder in a second place, whose parents are others: walking up from there leads past the first
one. Two paths are one when their file system and their place in it are (proc(5), mountinfo: device and root).
"""

from __future__ import annotations

from pathlib import Path

Place = tuple[str, Path]  # the device of the file system, and the path inside of it
ESCAPED = ("040", "011", "012", "134")


class Mounts:
    """The mounts of this process, read once."""

    def __init__(self, table: Path = Path("/proc/self/mountinfo")) -> None:
        lines = table.read_text("utf-8", "surrogateescape").splitlines()
        rows = [line.split(" ") for line in lines]
        self._points = [(Path(unescaped(row[4])), row[2], Path(unescaped(row[3]))) for row in rows]

    def within(self, path: Path) -> Place:
        """Return where the resolved `path` lies in its file system; of two mounts on a point the last counts."""
        best = (Path("/"), "", Path("/"))
        for mount in self._points:
            if path.is_relative_to(mount[0]) and len(mount[0].parts) >= len(best[0].parts):
                best = mount
        return best[1], best[2] / path.relative_to(best[0])

    def mounted_below(self, path: Path) -> list[Place]:
        """Return what else is seen by whoever sees the resolved `path`: the mounts inside of it."""
        return [
            (device, root) for point, device, root in self._points if point != path and point.is_relative_to(path)
        ]


def unescaped(text: str) -> str:
    """Return a path of the table as it is."""
    for code in ESCAPED:
        text = text.replace("\\" + code, chr(int(code, 8)))
    return text
