"""E-17: the log verifies end to end. Guards every other check, which is a query over this log.

It shows that the stored log is the one that was signed. It does not show that what never reached the log did not
happen, nor that the operator shows everybody the same log: that takes a witness.
"""

from __future__ import annotations

from weighthouse.assurance.model import Finding

SHOWN = 3


def compute(ok: bool, size: int, problems: tuple[tuple[int, str], ...], root: str) -> Finding:
    """Compute the check from a verification: whether it held, the size, and problems as (index, what)."""
    if size == 0:
        return Finding(result="not-tested", detail="The log is empty.", population=0)
    if ok and not problems:
        return Finding(
            result="satisfied",
            detail=f"All {size} entries hash to the signed root.",
            population=size,
            samples=("sha256:" + root,),
        )
    words = "; ".join(f"{what} (index {index})" for index, what in problems[:SHOWN])
    return Finding(
        result="not-satisfied",
        detail=f"{max(len(problems), 1)} problems in {size} entries: {words or 'the verification failed'}.",
        population=size,
        failing=tuple(index for index, _ in problems if index >= 0),
        samples=("sha256:" + root,),
    )
