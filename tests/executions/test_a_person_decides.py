"""A run on a real worker asks a person, waits at no cost, and goes on with the decision."""

from __future__ import annotations

import pytest

from agents.models import Role
from boards.models import Approval
from executions.models import Execution, Status
from tests.executions.kinds import an_agent_of, begun
from tests.executions.waiting import MODULE
from tests.factories import API, client_of
from tests.processes import ended, wait_until, worker
from tests.starting import a_board, an_organization

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("answer", ["approved", "rejected"])
def test_a_decision_over_rest_wakes_the_run(answer: str) -> None:
    organization = an_organization()
    board = a_board(organization, max_concurrent=1)
    agent = an_agent_of("t.permission", organization=organization)
    caller = client_of(organization, Role.OPERATOR)
    with worker(SIGNALBOX_MODULES=MODULE):
        runs = [begun(agent, board=board) for _ in range(3)]
        waiting = Execution.objects.filter(status=Status.WAITING, admitted_epoch=None)
        # On a board where one may run: who waits makes room.
        wait_until(lambda: waiting.count() == 3)
        for approval in Approval.objects.filter(board=board):
            decided = caller.patch(
                f"{API}/boards/{board.id}/approvals/{approval.id}",
                {"status": answer, "reason": "So be it."},
            )
            assert decided.status_code == 200, decided.json()
        wait_until(lambda: ended(*runs))
    for run in runs:
        run.refresh_from_db()
        assert (run.status, run.recoveries) == (Status.COMPLETED, 0)
        assert run.output.startswith(f"{answer} by ")
