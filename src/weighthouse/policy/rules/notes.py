"""What is worth knowing of a text that is in order. Guards a lab from a right that it believes to have given.

A note refuses nothing: the text means what it says, and the note says that nobody has what one might look for.
"""

from __future__ import annotations

from weighthouse.policy.model import IRREVERSIBLE, Lab

_MEANS = {
    "weights.destroy": "nobody can destroy a version there. It does not come with weights.save any more.",
    "weights.destroy_model": "nobody can end the key of the whole model there.",
}


def notes(lab: Lab) -> list[str]:
    """Sentences about what the text leaves to nobody."""
    return [
        f"No entitlement gives {action} on {', '.join(lacking)}: {_MEANS[action]}"
        for action in IRREVERSIBLE
        if (lacking := _lacking(lab, action))
    ]


def _lacking(lab: Lab, action: str) -> list[str]:
    giving = [one for one in lab.entitlements.values() if action in one.actions]
    models = [one for one in lab.resources.values() if one.kind == "model"]
    return sorted(model.id for model in models if not any(one.reaches(model) for one in giving))
