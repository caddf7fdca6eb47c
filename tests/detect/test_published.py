"""A text that rests on what a thief gave stays in force, and exactly one line and one alert name it and its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.governance.test_disowned_ballots import Signed
from tests.weights.world import LAB
from weighthouse.access import api as access
from weighthouse.access.jobs import followers
from weighthouse.app import declared
from weighthouse.audit import api as audit
from weighthouse.core.clock import DAY, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Denied, NotFound
from weighthouse.core.ids import new_id
from weighthouse.core.settings import Settings
from weighthouse.core.work import begin, read
from weighthouse.detect import api as detect
from weighthouse.detect import jobs as detection
from weighthouse.identity import api as identity
from weighthouse.identity.api.confirming import mark_confirmed
from weighthouse.identity.jobs import followers as keys
from weighthouse.policy import api as policy

TEXT = LAB.read_text("utf-8")
NEW = TEXT.replace("that training code asks for.", "which training code asks for.")
RULE = "policy-on-fallen-approval"
ENDED = ("its owner", "security", "not me", "freeze")
PEOPLE = ("dee", "chi", "gil", "hana")


class Publishing(Signed):
    """A lab whose policy is published by dee, on the approvals of chi, gil and hana, each in a session of theirs."""

    def __init__(self, database: Database, clock: ManualClock, folder: Path) -> None:
        super().__init__(database, clock, folder)
        self.system.settings = Settings(declared.settings(), flags={"state": folder, "mode": "development"})

    def publish(self, text: str, *, thief: str = "") -> str:
        """Publish a text the long way; return the session in which `thief` acted."""
        for who in PEOPLE:
            self.begin_session(who)
            self.device(who)
        self.publish_here(text)
        return self.sessions[thief] if thief else ""

    def publish_here(self, text: str) -> None:
        """Publish a text in the sessions that there are, with the keys that there are."""
        digest = policy.digest_of(text)
        granted = self.grant("dee", "policy-change", "lab", operation={"policy": digest}, approvers=PEOPLE[1:])
        assert granted is not None
        self.confirm("dee", "policy.publish", "lab", policy=digest)
        with begin(self.system, self.person("dee")) as unit:
            access.publish_policy(unit, self.person("dee"), text, "lab.yaml")
        self.clock.advance(1)

    def sign_out(self, who: str) -> None:
        with begin(self.system) as unit:
            identity.end_session(unit, self.sessions[who], identity.SIGNED_OUT, self.person(who))
        self.clock.advance(1)

    def taken_back(self, who: str, session: str, how: str) -> None:
        self.begin_session(who)
        if how == "its key":
            device = self.devices.pop(who)[0]
            with begin(self.system, self.person(who)) as unit:
                identity.end_device(unit, self.person(who), device, "stolen")
        else:
            self.stop(how, who, session)
        self.follow()

    def follow(self, *more: audit.Follower) -> None:
        for _ in range(2):
            for follower in (*more, *followers):
                while audit.pump(self.system, follower):
                    pass
            while detection.follow(self.system):
                pass

    def alerts(self) -> list[detect.Alert]:
        chi = self.person("chi")
        with begin(self.system, chi) as unit:
            return [one for one in detect.alerts(unit, chi) if one.rule == RULE]

    def in_force(self) -> str:
        with read(self.system) as unit:
            return policy.current(unit).digest


def confirmed_by_a_thief(lab: Publishing) -> tuple[str, identity.Device]:
    """New keys wait from here on. Gil's is confirmed in a stolen session of ben's, the others by the operator."""
    stolen = new_id("ses")
    for who in PEOPLE:
        lab.begin_session(who)
        lab.device(who)
    lab.system.settings = lab.system.settings.changed(**{"identity.new_keys": "confirm"})
    with begin(lab.system) as unit:
        for who in PEOPLE:
            key = identity.device(unit, lab.device(who)[0])
            if who == "gil":
                gils = key
            by, session = ("ben", stolen) if who == "gil" else ("system", "")
            mark_confirmed(unit, key, by, "said", session=session)
    lab.clock.advance(1)
    return stolen, gils


@pytest.fixture
def lab(database: Database, clock: ManualClock, tmp_path: Path) -> Publishing:
    return Publishing(database, clock, tmp_path)


@pytest.mark.parametrize("how", [*ENDED, "its key"])
def test_a_text_published_on_a_thiefs_approval_stays_and_is_told_once(lab: Publishing, how: str) -> None:
    assert NEW != TEXT
    session = lab.publish(NEW, thief="gil")
    lab.sign_out("gil")
    lab.follow()
    assert lab.alerts() == []
    lab.taken_back("gil", session, how)
    (line,) = lab.facts("access.PublicationFell")
    assert (line["fell"], line["person"], line["session"]) == ("access.VoteCast", "gil", session)
    assert (line["digest"], line["previous"]) == (policy.digest_of(NEW), policy.digest_of(TEXT))
    assert line["in_force"] is True and lab.in_force() == policy.digest_of(NEW), "nobody undoes a text by a theft"
    (alert,) = lab.alerts()
    assert (alert.severity, alert.principal) == ("high", "gil")
    for said in (policy.digest_of(NEW), "dee", "gil", f"policy text {policy.digest_of(TEXT)}", "policy publish"):
        assert said in alert.text
    lab.taken_back("hana", lab.sessions["hana"], "its owner")  # the second approval of the same text
    assert len(lab.alerts()) == len(lab.facts("access.PublicationFell")) == 1


LEFT = ("live", "signed out", "signed out and its row hidden", "its key hidden", "its key retired")


@pytest.mark.parametrize("bound", [True, False], ids=["in a session of the key", "in another session"])
@pytest.mark.parametrize("left", LEFT)
def test_a_text_on_the_vote_of_a_key_that_fell_back_is_told_once_wherever_it_was_sent(
    lab: Publishing, left: str, bound: bool
) -> None:
    """Attack: what a key gives that a thief confirmed is sent from another session, which is left in time."""
    stolen, key = confirmed_by_a_thief(lab)
    session = lab.begin_session("gil", key.thumbprint if bound else "")
    lab.publish_here(NEW)
    if left.startswith("signed out"):
        lab.sign_out("gil")
    if left == "its key retired":
        with begin(lab.system, lab.person("gil")) as unit:
            identity.end_device(unit, lab.person("gil"), key.id, "an old laptop", retired=True)
    if left.endswith("its row hidden"):
        assert lab.sql("DELETE FROM identity_session WHERE id = :i", i=session)
    if left == "its key hidden":
        assert lab.sql("DELETE FROM identity_device WHERE id = :i", i=key.id)
    lab.follow(*keys)
    assert lab.facts("access.PublicationFell") == []
    with begin(lab.system) as unit:
        identity.end_session(unit, stolen, "not mine", "chi", of="ben")
    lab.clock.advance(1)
    lab.follow(*keys)
    (line,) = lab.facts("access.PublicationFell")
    assert (line["fell"], line["person"], line["session"]) == ("access.VoteCast", "gil", session)
    (alert,) = lab.alerts()
    assert (alert.severity, alert.principal) == ("high", "gil")
    fell = [] if left == "its key retired" else [key.id]
    assert [one["device"] for one in lab.facts("identity.KeyFellBack")] == fell


@pytest.mark.parametrize("order", [1, -1], ids=["first then second", "second then first"])
def test_a_text_on_a_vote_between_two_stolen_words_for_its_key_is_told_once(lab: Publishing, order: int) -> None:
    stolen, key = confirmed_by_a_thief(lab)
    session, another = lab.begin_session("gil"), new_id("ses")
    lab.publish_here(NEW)
    lab.sign_out("gil")
    with begin(lab.system) as unit:
        mark_confirmed(unit, identity.device(unit, key.id), "ben", "said", session=another)
    lab.clock.advance(1)
    assert lab.facts("access.PublicationFell") == []
    for one in [stolen, another][::order]:
        with begin(lab.system) as unit:
            identity.end_session(unit, one, "not mine", "chi", of="ben")
        lab.clock.advance(1)
        lab.follow(*keys)
        told = len(lab.facts("access.PublicationFell"))
        assert told == (one == stolen or order == 1), "it was voted by the first word alone"
    (line,) = lab.facts("access.PublicationFell")
    assert (line["fell"], line["session"], len(lab.alerts())) == ("access.VoteCast", session, 1)


def test_a_text_that_a_thief_asked_for_and_published_is_told_once(lab: Publishing) -> None:
    session = lab.publish(NEW, thief="dee")
    lab.taken_back("dee", session, "its owner")
    (line,) = lab.facts("access.PublicationFell")
    assert line["fell"] == "access.PolicyPublished" and len(lab.alerts()) == 1


def test_what_was_given_in_another_session_or_long_before_is_told_of_no_text(lab: Publishing) -> None:
    other = lab.begin_session("gil")
    lab.publish(NEW)
    lab.sign_out("gil")
    lab.taken_back("gil", other, "its owner")
    assert lab.alerts() == []
    lab.clock.advance(2 * DAY)
    lab.taken_back("gil", lab.begin_session("gil"), "not me")
    assert lab.alerts() == [] == lab.facts("access.PublicationFell"), "no session of then lives that long"


def test_a_later_text_hides_nothing_and_the_former_is_put_back_by_its_digest(lab: Publishing) -> None:
    session = lab.publish(NEW, thief="gil")
    lab.publish(NEW.replace("which training code", "that all training code"))
    lab.sign_out("gil")
    lab.taken_back("gil", session, "its owner")
    (line,) = lab.facts("access.PublicationFell")
    assert (line["version"], line["in_force"]) == (2, False) and "later version" in lab.alerts()[0].text
    dee, ada = lab.person("dee"), lab.person("ada")
    with read(lab.system, dee) as unit:
        former = access.policy_text(unit, dee, line["previous"])
        with pytest.raises(NotFound) as unknown:
            access.policy_text(unit, dee, "sha256:" + "0" * 64)
    assert unknown.value.code == "policy.no_such_text"
    with pytest.raises(Denied) as refusal, begin(lab.system, ada) as unit:
        access.policy_text(unit, ada, line["previous"])
    assert refusal.value.code == "access.not_yours_to_see"
    del lab.devices["gil"]  # its key fell with the session
    lab.publish(former)
    assert lab.in_force() == policy.digest_of(TEXT)
