"""A permit is given back after its run has moved on, never before: so nobody can be too many."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from django.db import transaction

from executions import semaphore
from executions.engine import claim as claims
from executions.engine import ends
from executions.engine.claim import Batch, Claim
from executions.models import Execution
from executions.semaphore import Scope
from tests.starting import a_run, an_agent

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]


class PowerCut(Exception):
    """The transaction of the move is never committed."""


def _complete(claim: Claim) -> None:
    ends.complete(claim, Batch(), output="done", diff=None)


def _yield(claim: Claim) -> None:
    ends.give_up(claim, Batch())


@pytest.mark.parametrize("leave", [_complete, _yield])
def test_a_permit_is_held_until_the_move_is_committed(leave: Callable[[Claim], None]) -> None:
    claim = claims.take(a_run(an_agent(), {"say": "done"}).id, 0, "a worker")
    assert claim is not None
    permit = claim.execution.permit
    with contextlib.suppress(PowerCut), transaction.atomic():
        leave(claim)
        raise PowerCut
    assert permit in _holders(claim.execution), "taken from a run that goes on"
    claim.execution.refresh_from_db()
    with transaction.atomic():
        leave(claim)
        assert permit in _holders(claim.execution), "given back before the run had moved on"
    assert permit not in _holders(claim.execution)


def _holders(execution: Execution) -> set[str]:
    return semaphore.members(Scope("organization", str(execution.organization_id)))
