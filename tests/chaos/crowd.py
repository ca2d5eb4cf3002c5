"""More executions than may run at once: some behind a board's limit, some behind an
organization's."""

from __future__ import annotations

import time

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
        """Start more until some run and others have to wait for them."""
        deadline = time.monotonic() + PATIENCE
        while not self._is_pressing():
            assert time.monotonic() < deadline, "the workers do not take up what waits"
            self.start()

    def _is_pressing(self) -> bool:
        running = Execution.objects.filter(status=Status.RUNNING).count()
        waiting = Execution.objects.filter(status=Status.QUEUED, admitted_epoch=None)
        return running > LIMIT and waiting.exists()

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
