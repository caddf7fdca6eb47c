"""The public face of assurance. Guards readers from typed evidence: results come from the log, computed or run.

`run` plays attacks, `compute` computes the evidence, `evidence` and `outcomes` show what the log holds of both.
"""

from weighthouse.assurance.api.attacks import catalogue, ground, outcomes, proofs, run, unproven
from weighthouse.assurance.api.evidence import compute, evidence
from weighthouse.assurance.model import Check, Outcome, Proof
from weighthouse.assurance.ports import Actor, Ground, RunOutcome, Scenario, not_here

__all__ = [
    "Actor",
    "Check",
    "Ground",
    "Outcome",
    "Proof",
    "RunOutcome",
    "Scenario",
    "catalogue",
    "compute",
    "evidence",
    "ground",
    "not_here",
    "outcomes",
    "proofs",
    "run",
    "unproven",
]
