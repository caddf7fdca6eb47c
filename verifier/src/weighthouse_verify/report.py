"""What the check says, for people and for programs. Guards the reader from missing the first problem."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from weighthouse_verify.folder import Problem


@dataclass
class Report:
    """The outcome: what was checked, notes on how far it reaches, and the problems by place."""

    subject: str = ""
    origin: str = ""
    size: int = 0
    root: str = ""
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def problem(self, index: int, where: str, what: str) -> None:
        self.problems.append(Problem(index, where, what))
        self.problems.sort()

    def as_json(self) -> str:
        found = {"ok": self.ok, "first": asdict(self.problems[0]) if self.problems else None}
        return json.dumps({**found, **asdict(self)})

    def as_text(self) -> str:
        lines = [f"note: {note}" for note in self.notes]
        if self.ok:
            lines.append(f"OK: {self.subject}: log '{self.origin}', {self.size} entries, root {self.root}")
        else:
            lines.append(f"PROBLEM: {self.subject}: {len(self.problems)} found; the first is:")
            lines.extend(f"  {_place(problem)}: {problem.what}" for problem in self.problems)
        return "\n".join(_visible(line) for line in lines)


def _place(problem: Problem) -> str:
    if problem.index < 0 or problem.where == f"entry {problem.index}":
        return problem.where
    return f"{problem.where} (from entry {problem.index})"


def _visible(line: str) -> str:
    """Return the line with everything escaped that could move a terminal's cursor or turn its text around."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
