"""What a run rests on ends while it goes, on a real server: the session it was submitted in, and its grant."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.app.running import alive, ended, ends_in_log, going, grant, processes, submit
from tests.app.serving import Server
from weighthouse.app.demo.actor import Actor


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEIGHTHOUSE_RUNS_SANDBOX", "bubblewrap")
        made = Server(tmp_path_factory.mktemp("ends"))
        made.start()
    yield made
    made.close()


@pytest.fixture(scope="module")
def chi(server: Server) -> Actor:
    """Security, who responds."""
    return server.actor("chi")


def test_a_run_stops_when_security_ends_the_session_it_was_submitted_in(server: Server, chi: Actor) -> None:
    ada = server.actor("ada")
    grant(ada)
    run = submit(ada)
    going(ada, run)
    begun = processes(server)
    (session,) = chi.client.get("people/ada/sessions")["items"]
    chi.client.post(f"people/ada/sessions/{session['id']}/end", {"reason": "A laptop was stolen."})
    found = ended(chi, run)
    # What ends with a foreign session ends the run as well, whichever of the two is followed first.
    assert found["state"] == "stopped" and found["reason"] in ("runs.session_ended", "runs.grant_ended")
    assert begun and alive(begun) == []
    assert ends_in_log(chi, run) == ["runs.RunStopped"]
    assert not ada.alive()


def test_a_run_outlives_signing_out_and_stops_when_security_revokes_its_grant(server: Server, chi: Actor) -> None:
    eve = server.actor("eve")
    granted = grant(eve)
    run = submit(eve)
    going(eve, run)
    begun = processes(server)
    eve.client.sign_out()
    chi.client.post(f"grants/{granted}/revoke", {"reason": "She has left the project."})
    found = ended(chi, run)
    # Facts are followed in order: had her own sign-out stopped the run, that would be the reason.
    assert (found["state"], found["reason"]) == ("stopped", "runs.grant_ended")
    assert begun and alive(begun) == []
    assert ends_in_log(chi, run) == ["runs.RunStopped"]
