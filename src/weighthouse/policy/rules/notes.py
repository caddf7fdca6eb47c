"""What is worth knowing of a text that is in order. Guards a lab from a right that it believes to have given.

A note refuses nothing: the text means what it says, and the note says that nobody has what one might look for.
"""

from __future__ import annotations

from weighthouse.policy.model import IRREVERSIBLE, Lab


def notes(lab: Lab) -> list[str]:
    """Sentences about what the text leaves to nobody."""
    giving = [one for one in lab.entitlements.values() if IRREVERSIBLE in one.actions]
    models = [one for one in lab.resources.values() if one.kind == "model"]
    lacking = sorted(model.id for model in models if not any(one.reaches(model) for one in giving))
    if not lacking:
        return []
    return [
        f"No entitlement gives {IRREVERSIBLE} on {', '.join(lacking)}: nobody can destroy a version there. "
        "It does not come with weights.save any more."
    ]
