"""What came along when a session shows up at another address. Guards people on the move from being taken for thieves.

An address is not an identity: trains, telephones and offices change it. What a thief lacks is the browser's own mark,
or the key. So the mark decides between owner and thief, and the place only how much the session may do meanwhile.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Outcome = Literal["stay", "moved", "abroad", "stolen"]


class Along(msgspec.Struct, frozen=True, kw_only=True):
    """What a request brought of what its session is bound to. `mark` is the browser's mark, or the proof by the key.

    `network` and `country` say whether they are known, and the same as before.
    """

    mark: bool
    family: bool = True
    address: bool
    network: bool
    country: bool


def judge(along: Along) -> Outcome:
    """Return what to make of it; what nothing is known of counts as abroad."""
    if not along.mark or not along.family:
        return "stolen"
    if along.address:
        return "stay"
    return "moved" if along.network or along.country else "abroad"
