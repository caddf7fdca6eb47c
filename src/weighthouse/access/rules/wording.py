"""How long a text may be that people write for other people to read. What may stand in it says `core.visible`."""

from __future__ import annotations

SHORTEST_REASON = 10
SHORTEST_BROAD = 40
LONGEST = 500
