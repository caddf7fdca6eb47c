"""The catalogue: every scenario, in the order in which they are run; those that spend a budget come last."""

from __future__ import annotations

from weighthouse.assurance.ports import Scenario
from weighthouse.assurance.scenarios import (
    address_literal,
    alternating_roles,
    banked_requests,
    copied_state,
    deleted_hold,
    domain_fronting,
    edited_grant,
    edited_log,
    expired_grant,
    host_paths,
    inserted_grant,
    lifted_hold,
    one_approval,
    planted_device,
    replayed_vote,
    self_approval,
    slow_drip,
    stolen_run_token,
    stolen_token,
    unknown_host,
    wrong_environment,
    wrong_image,
)

SCENARIOS: tuple[Scenario, ...] = (
    self_approval.SCENARIO,
    one_approval.SCENARIO,
    replayed_vote.SCENARIO,
    planted_device.SCENARIO,
    expired_grant.SCENARIO,
    banked_requests.SCENARIO,
    alternating_roles.SCENARIO,
    stolen_token.SCENARIO,
    stolen_run_token.SCENARIO,
    wrong_environment.SCENARIO,
    wrong_image.SCENARIO,
    edited_grant.SCENARIO,
    inserted_grant.SCENARIO,
    lifted_hold.SCENARIO,
    deleted_hold.SCENARIO,
    edited_log.SCENARIO,
    copied_state.SCENARIO,
    host_paths.SCENARIO,
    unknown_host.SCENARIO,
    address_literal.SCENARIO,
    domain_fronting.SCENARIO,
    slow_drip.SCENARIO,
)
