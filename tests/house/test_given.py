"""Whatever a person's session gives, and that lasts, is on one list, names its session, and is asked about at use."""

from __future__ import annotations

import ast
import re

from tests.house import source
from weighthouse.identity.api.lately import _ELSEWHERE
from weighthouse.identity.rules.given import GIVEN

ASKS = re.compile(r"\b(disowned|disclaimed|ended_by_another)\(")
NOTHING = {
    "of the system, or of time": """
        access.GrantEnded access.GrantStarted access.OpeningFell access.PublicationFell access.RequestApproved access.RequestLapsed access.RequestOvertaken
        access.VoteVoided access.WorkloadBound assurance.AttackRun assurance.EvidenceComputed audit.ClusterMoved
        audit.CursorMoved audit.FellBehind audit.ForkAccepted audit.Heartbeat audit.LineNotKept audit.LinesLost
        audit.LogDamaged audit.OutboxRefused audit.PersonErased audit.PersonalMissing audit.ServerForgotten audit.ServerLeft
        audit.WitnessRefused
        detect.AlertRaised detect.AlertRowRefused detect.ResponseTaken governance.RowsEdited governance.TamperFound identity.AccountAdopted
        identity.KeyFellBack identity.RecordRefused identity.SessionMoved identity.WorkloadEnded
        identity.WorkloadStarted keys.CountLowered keys.KekDestroyed keys.KekMinimumRaised keys.KekRotated
        keys.PassphraseChanged runs.RunFailed runs.RunFinished runs.RunStarted runs.RunStopped runs.Unsandboxed
        runs.VolumeFilled weights.KeysRewrapped weights.SaveLapsed weights.TamperFound weights.ReadBudgetSpent""",
    "of a run, which falls with its own session": """
        egress.BudgetSpent egress.Connected egress.OutputHigh egress.OutputSpent egress.PayerJoined egress.Refused
        egress.StepRefused egress.TamperFound egress.Unfed egress.WayClosed egress.WayOpened keys.KeyRefused
        keys.KeyReleased runs.ForeignPeer runs.ReferenceRefused runs.RefusedOften weights.CheckpointSealed
        weights.HeadMoved weights.KeysInRunRefused weights.ManifestRefused weights.SaveBegun""",
    "refuses": """
        access.Denied access.RequestDenied identity.ActUnconfirmed identity.CredentialRefused identity.KeyNotConfirmed
        identity.OpeningRefused identity.SignInDenied identity.SignInFailed identity.StepUpDemanded
        weights.ExportRefused""",
    "only stops, or takes back": """
        access.HoldPlaced access.RequestWithdrawn governance.HoldCalled governance.HoldPlaced identity.DeviceEnded
        identity.Disowned identity.PersonFrozen identity.SessionEnded identity.SessionUsedElsewhere runs.StopAsked""",
    "is over with the moment, or with the session itself": """
        access.Allowed identity.ActConfirmed identity.FactorSpent identity.FactorUsed identity.OpeningSigned
        identity.SessionStarted identity.StepUpDone""",
    "asks, and others answer": "governance.MotionOpened",
    "cannot be taken back, so it took a factor and a key, or several people; its line says who": """
        audit.ClockConfirmed governance.HoldLifted governance.MotionClosed weights.CheckpointDestroyed
        weights.DestructionUndone weights.ModelDestructionUndone weights.LoadStarted weights.TensorsShown
        weights.WeightsExported""",
}


def fields(kind: str) -> set[str]:
    """The fields of the class that declares an event."""
    path = source.ROOT / source.event_kinds()[kind]
    for node in ast.walk(ast.parse(source.text(path))):
        if isinstance(node, ast.ClassDef) and f'"{kind}"' in ast.unparse(node).replace("'", '"'):
            return {
                one.target.id
                for one in node.body
                if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
            }
    return set()


def test_every_fact_is_taken_back_with_its_session_or_gives_nothing_that_lasts() -> None:
    elsewhere = [kind for kinds in NOTHING.values() for kind in kinds.split()]
    known = [*GIVEN, *elsewhere]
    assert len(known) == len(set(known)), "a kind stands in one place"
    missing = set(source.event_kinds()) - set(known)
    assert not missing, f"put into identity/rules/given.py, or say in tests/house/test_given.py why not: {missing}"
    assert not set(known) - set(source.event_kinds())


def test_what_a_session_gave_names_it_and_is_asked_about_where_it_is_used() -> None:
    for kind, asked in GIVEN.items():
        assert "session" in fields(kind), f"{kind} names no session"
        path = source.ROOT / "src" / "weighthouse" / asked
        assert ASKS.search(source.text(path)), f"{asked} does not ask whether the session of {kind} is disowned"


def test_what_a_session_gave_is_shown_to_its_person_beside_the_button_that_takes_it_back() -> None:
    assert set(GIVEN) <= set(_ELSEWHERE)
