"""More executions than may run at once: some behind a board's limit, some behind an
organization's."""

from __future__ import annotations

import time
from datetime import datetime

from django.db.models import QuerySet
from django.utils import timezone

from executions.models import Execution, Status
from tests.chaos import proof
from tests.chaos.sampler import Sampler
from tests.processes import PATIENCE
from tests.starting import a_board, a_run, an_agent, an_organization

LIMIT = 3
_TURNS = [{"say": "one two three", "delay": 0.6}]


class Crowd:
    """Two organizations, in each of which at most three may run."""

    def __init__(self) -> None:
        behind_a_board, limited = an_organization(), an_organization(max_concurrent=LIMIT)
        self._board = a_board(behind_a_board, max_concurrent=LIMIT, max_queue=10_000)
        self._agents = [an_agent(behind_a_board), an_agent(limited)]
        self.runs: list[Execution] = []

    def start(self) -> None:
        """One more in each organization."""
        self.runs.append(a_run(self._agents[0], *_TURNS, board=self._board))
        self.runs.append(a_run(self._agents[1], *_TURNS))

    def press(self) -> None:
        """Start more until some run, others wait for them, and one was admitted and begun anew."""
        deadline, since = time.monotonic() + PATIENCE, timezone.now()
        while not self._is_pressing(since):
            assert time.monotonic() < deadline, "the workers do not take up what waits"
            if self._waiting().count() < 4 * LIMIT:
                self.start()
            time.sleep(0.02)

    def _is_pressing(self, since: datetime) -> bool:
        running = Execution.objects.filter(status=Status.RUNNING).count()
        has_begun = Execution.objects.filter(started_at__gt=since).exists()
        return has_begun and running > LIMIT and self._waiting().exists()

    def _waiting(self) -> QuerySet[Execution]:
        return Execution.objects.filter(status=Status.QUEUED, admitted_epoch=None)

    def has_ended(self) -> bool:
        return proof.have_ended(self.runs)

    def assert_kept_its_limits(self, sampler: Sampler) -> None:
        """All ended well, and nobody saw a fourth one, neither then nor in the events."""
        proof.assert_completed(self.runs)
        assert sampler.samples > 0
        assert 1 < sampler.most <= LIMIT
        for agent in self._agents:
            mine = [run for run in self.runs if run.organization_id == agent.organization_id]
            assert 1 < proof.most_at_once(mine) <= LIMIT
