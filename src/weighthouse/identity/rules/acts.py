"""Acts that need a second factor of their own: which there are, how one is named, and what a factor must answer.

Guards a factor given for one act from being used for another: its challenge is derived from the digests of exactly
the acts that it is for, each over type, subject, parameters, person, account and session. Pure.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence

from weighthouse.core.canonical import digest, encode
from weighthouse.core.errors import Invalid
from weighthouse.identity.model import Act

MOST_TOGETHER = 5
_NAME = re.compile(r"[A-Za-z0-9._:/@+=-]{1,200}")
_WORDS: dict[str, tuple[frozenset[str], str]] = {
    "device.enrol": (frozenset(), "Enrol the key {subject} as one that signs for you."),
    "device.confirm": (frozenset(), "Confirm the new key {subject}, so that it may sign what is sensitive."),
    "request.vote": (frozenset({"verdict", "digest"}), "Vote to {verdict} the request {subject} ({digest})."),
    "hold.lift": (frozenset(), "Lift the hold {subject}."),
    "policy.publish": (frozenset({"policy"}), "Publish the policy text {policy}."),
    "committee.ballot": (frozenset({"ballot", "digest"}), "Answer '{ballot}' to the motion {subject} ({digest})."),
    "person.key": (frozenset(), "Let the key {subject} (person/key) count again, which was set aside."),
    "version.undestroy": (frozenset(), "Undo the order to destroy the version {subject}, so that it is kept."),
    "model.undestroy": (frozenset(), "Undo the order to destroy the key of {subject}, so that it is kept."),
    "person.thaw": (frozenset(), "Let the frozen person {subject} in again."),
}


def check_acts(acts: Sequence[Act]) -> None:
    """Raise `identity.bad_act` unless these are acts that a factor can be given for, shown together."""
    if len(acts) > MOST_TOGETHER or len({encode(_plain(act)) for act in acts}) != len(acts):
        raise _bad(f"One factor is for 1 to {MOST_TOGETHER} different acts.")
    for act in acts:
        known = _WORDS.get(act.type)
        if known is None or act.parameters.keys() != known[0]:
            raise _bad("There is no such act, or it has other parameters.")
        for text in (act.subject, *act.parameters.values()):
            if not _NAME.fullmatch(text):  # a sentence of an attacker's would stand on our page as ours
                raise _bad("An act is named by ids, digests and verdicts: 1 to 200 letters, digits and ._:/@+=-")


def _bad(what: str) -> Invalid:
    return Invalid("identity.bad_act", what, "Confirm exactly what the refusal named.")


def words_of(act: Act) -> str:
    """The act in words, from its own fields and nothing that a client may write."""
    return _WORDS[act.type][1].format(subject=act.subject, **act.parameters)


def _plain(act: Act) -> dict[str, object]:
    return {"act": act.type, "subject": act.subject, "parameters": act.parameters}


def digest_of_act(act: Act, *, person: str, account: str, session: str) -> str:
    """The one name of this act by this person, account and session; a session is bound to its own key."""
    bound = {"person": person, "account": account, "session": session}
    return digest({"type": "weighthouse/act/1", **_plain(act), **bound})


def challenge_of(digests: Sequence[str], salt: str) -> str:
    """What a factor for these acts must answer: an OpenID nonce, or the challenge of a passkey (base64url)."""
    said = encode({"type": "weighthouse/factor/1", "acts": sorted(digests), "salt": salt})
    return base64.urlsafe_b64encode(hashlib.sha256(said).digest()).rstrip(b"=").decode()
