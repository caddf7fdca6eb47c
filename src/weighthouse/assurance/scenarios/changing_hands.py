"""What policy can do to accounts, for thefts by whoever has one after somebody else. Nothing here is an attack."""

from __future__ import annotations

import re

from weighthouse.assurance.ports import Ground
from weighthouse.core.work import begin, read
from weighthouse.policy import api as policy

NEW = "{issuer: example, subject: somebody-else}"


def replace_account(ground: Ground, person: str) -> str:
    """Publish the lab with another account for `person`, as another server would; return how it is named.

    The text is published as it is: that access refuses to publish it, and ends what rests on the old account, is
    what its own tests show. Here the checks at use have to hold alone.
    """
    with read(ground.system) as unit:
        text = policy.current_text(unit)
    entry = re.compile(rf"(^  {re.escape(person)}:\n(?:    .*\n)*?    accounts: )\[[^\]]*\]", re.M)
    changed, count = entry.subn(rf"\g<1>[{NEW}]", text)
    assert count == 1, f"the lab's text names no accounts of {person}"
    with begin(ground.system) as unit:
        policy.store(unit, changed, "lab.yaml", "exercise")
    return policy.account_ref("example", "somebody-else")
