"""A policy text that is being published while what it rests on falls is refused, or told of by its own line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.detect.test_published import NEW, PEOPLE, Publishing
from weighthouse.access import api as access
from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.access.ports import Refusals
from weighthouse.audit import api as audit
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Unauthenticated
from weighthouse.core.work import begin
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.ports import Memory
from weighthouse.policy import api as policy


class Late(Publishing):
    """A lab in which everything is given that a text needs, and dee is about to publish it."""

    def follow(self, *more: audit.Follower) -> None:
        self.settle()
        super().follow(*more)
        self.settle()
        super().follow(*more)
        self.settle()

    def settle(self) -> None:
        while audit.sequence(self.system):
            pass

    def ready(self, who: str) -> tuple[str, Callable[[], object]]:
        """Return a session of `who` that a thief has, and what publishes."""
        for one in PEOPLE:
            self.device(one)
            self.begin_session(one, key=f"where {one} gives it")
        digest = policy.digest_of(NEW)
        granted = self.grant("dee", "policy-change", "lab", operation={"policy": digest}, approvers=PEOPLE[1:])
        assert granted is not None
        self.begin_session("dee", key="where dee publishes it")
        thief, dee = self.sessions[who], self.person("dee")
        self.confirm("dee", "policy.publish", "lab", policy=digest)

        def publish() -> object:
            with begin(self.system, dee) as unit:
                return access.publish_policy(unit, dee, NEW, "lab.yaml")

        return thief, publish

    def elsewhere(self) -> None:
        """Be another server from now on, which has heard of nothing, with the grants as it last read them."""
        self.system.bind(Memory, FileMemory(self.state / "elsewhere", now=self.clock.now()))
        self.system.bind(Refusals, FileRefusals(self.state / "elsewhere.refusals"))
        self.sql("DELETE FROM access_grant")
        self.sql("INSERT INTO access_grant SELECT * FROM aside")


@pytest.fixture
def lab(any_database: Database, clock: ManualClock, tmp_path: Path) -> Late:
    return Late(any_database, clock, tmp_path)


def test_a_text_is_not_published_by_a_session_that_was_ended_meanwhile(lab: Late) -> None:
    thief, publish = lab.ready("dee")
    lab.begin_session("dee")
    lab.stop("its owner", "dee", thief)
    with pytest.raises(Unauthenticated) as refusal:
        publish()
    lab.settle()
    assert refusal.value.code == "identity.session_ended" and lab.in_force() != policy.digest_of(NEW)
    assert [one["subject_id"] for one in lab.facts("identity.CredentialRefused")] == [thief]


@pytest.mark.parametrize(("who", "fell"), [("dee", "access.PolicyPublished"), ("gil", "access.VoteCast")])
def test_a_text_that_was_published_after_the_end_is_told_once(lab: Late, who: str, fell: str) -> None:
    thief, publish = lab.ready(who)
    lab.settle()
    lab.sql("CREATE TABLE aside AS SELECT * FROM access_grant")
    lab.begin_session(who)
    lab.stop("its owner", who, thief)
    lab.follow()
    assert lab.facts("access.PublicationFell") == []
    lab.elsewhere()
    publish()
    assert lab.in_force() == policy.digest_of(NEW)
    lab.follow()
    (line,) = lab.facts("access.PublicationFell")
    assert (line["fell"], line["person"], line["by"]) == (fell, who, who) and len(lab.alerts()) == 1
