"""A start that may not queue is refused where it would have to, however many come at once."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection, transaction

from agents.errors import Refusal
from agents.models import Organization
from boards.models import Board
from executions.errors import BoardPaused, LimitExceeded
from executions.models import Execution
from tests.factories import somebody_waits_for_a_lock
from tests.processes import wait_until
from tests.starting import a_board, a_run, an_agent, an_organization

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_limit_of_an_organization_holds_for_agents_that_start_at_once() -> None:
    organization = an_organization(max_concurrent=1)
    first, second = an_agent(organization), an_agent(organization)
    answers: list[Any] = []

    def start() -> None:
        try:
            answers.append(a_run(second, {"say": "x"}, may_queue=False))
        except Refusal as refusal:
            answers.append(refusal)
        finally:
            connection.close()

    thread = threading.Thread(target=start, daemon=True)
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        thread.start()
        wait_until(somebody_waits_for_a_lock, seconds=10)
        a_run(first, {"say": "x"}, may_queue=False)
    thread.join(10)
    assert isinstance(answers[0], LimitExceeded)
    assert Execution.objects.count() == 1


def test_nothing_that_may_not_queue_is_started_on_a_paused_board() -> None:
    organization = an_organization()
    board = a_board(organization)
    Board.objects.filter(pk=board.pk).update(is_paused=True)
    with pytest.raises(BoardPaused):
        a_run(an_agent(organization), {"say": "x"}, board=board, may_queue=False)
    assert not Execution.objects.exists()
    a_run(an_agent(organization), {"say": "x"}, board=board)
