"""Permits in Redis: all scopes or none, never above a limit, and never trusted after a loss."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agents.redis import client
from executions import semaphore
from executions.semaphore import Answer, PermitsLost, Request, Scope

ORG, BOARD = Scope("organization", "o", 4), Scope("board", "b", 2)
AGENTS = [Scope("agent", "a1", 1), Scope("agent", "a2", None)]


@pytest.fixture(autouse=True)
def _fresh() -> None:
    client().flushdb()
    semaphore.rebuild({})


def ask(member: str, *scopes: Scope) -> semaphore.Decision:
    return semaphore.acquire([Request(member, scopes)])[0]


def test_a_permit_is_of_every_scope_or_of_none() -> None:
    ask("e1:0", ORG, AGENTS[0])
    decision = ask("e2:0", ORG, BOARD, AGENTS[0])
    assert (decision.answer, decision.scope) == (Answer.BLOCKED, "agent")
    assert semaphore.members(BOARD) == set()
    assert semaphore.members(ORG) == {"e1:0"}


def test_asking_again_is_told_that_it_holds() -> None:
    assert ask("e1:0", ORG).answer is Answer.ACQUIRED
    assert ask("e1:0", ORG).answer is Answer.HELD


def test_another_epoch_is_another_permit() -> None:
    ask("e1:0", AGENTS[0])
    assert ask("e1:1", AGENTS[0]).answer is Answer.BLOCKED
    semaphore.release("e1:1", [AGENTS[0]])
    assert semaphore.members(AGENTS[0]) == {"e1:0"}


def test_a_lowered_limit_drains() -> None:
    for n in range(3):
        ask(f"e{n}:0", Scope("board", "b", 3))
    assert ask("e9:0", Scope("board", "b", 1)).answer is Answer.BLOCKED
    assert len(semaphore.members(BOARD)) == 3


def test_within_one_call_a_later_request_never_passes_an_earlier_one_of_its_scope() -> None:
    requests = [Request(f"e{n}:0", (BOARD,)) for n in range(5)]
    answers = [decision.answer for decision in semaphore.acquire(requests)]
    assert answers == [Answer.ACQUIRED] * 2 + [Answer.BLOCKED] * 3


@pytest.mark.parametrize("generation", [None, "0" * 40])
def test_nothing_is_admitted_by_a_redis_that_is_not_the_one_that_was_filled(
    generation: str | None,
) -> None:
    ask("e1:0", ORG)
    if generation is None:
        client().flushdb()
    else:
        client().set(semaphore.GENERATION, generation)
    with pytest.raises(PermitsLost):
        ask("e2:0", ORG)
    semaphore.rebuild({"e1:0": [ORG]})
    assert semaphore.members(ORG) == {"e1:0"}


def test_many_askers_at_once_never_exceed_the_limit() -> None:
    with ThreadPoolExecutor(20) as threads:
        decisions = list(threads.map(lambda n: ask(f"e{n}:0", BOARD, ORG), range(100)))
    assert sum(decision.is_granted for decision in decisions) == BOARD.limit


class Permits(RuleBasedStateMachine):
    """A model of the sets beside the real ones."""

    def __init__(self) -> None:
        super().__init__()
        client().flushdb()
        semaphore.rebuild({})
        self.held: dict[str, tuple[Scope, ...]] = {}
        self.is_lost = False

    @rule(
        n=st.integers(0, 6),
        epoch=st.integers(0, 1),
        agent=st.sampled_from(AGENTS),
        on_board=st.booleans(),
    )
    @precondition(lambda self: not self.is_lost)
    def acquire(self, n: int, epoch: int, agent: Scope, *, on_board: bool) -> None:
        member = f"e{n}:{epoch}"
        scopes = (ORG, BOARD, agent) if on_board else (ORG, agent)
        if member in self.held:
            scopes = self.held[member]
        decision = ask(member, *scopes)
        full = [
            scope.name
            for scope in scopes
            if scope.limit is not None and self._count(scope) >= scope.limit
        ]
        if member in self.held:
            assert decision.answer is Answer.HELD
        elif full:
            assert (decision.answer, decision.scope) == (Answer.BLOCKED, full[0])
        else:
            assert decision.answer is Answer.ACQUIRED
            self.held[member] = scopes

    @rule(data=st.data())
    @precondition(lambda self: self.held and not self.is_lost)
    def release(self, data: st.DataObject) -> None:
        member = data.draw(st.sampled_from(sorted(self.held)))
        semaphore.release(member, self.held.pop(member))

    @rule()
    def flush(self) -> None:
        client().flushdb()
        self.is_lost = True

    @rule()
    @precondition(lambda self: self.is_lost)
    def refused_while_lost(self) -> None:
        with pytest.raises(PermitsLost):
            ask("e0:0", ORG)

    @rule()
    def rebuild(self) -> None:
        semaphore.rebuild(self.held)
        self.is_lost = False

    @invariant()
    def sets_are_the_model(self) -> None:
        if self.is_lost:
            return
        for scope in (ORG, BOARD, *AGENTS):
            expected = {m for m, s in self.held.items() if scope.id in {each.id for each in s}}
            assert semaphore.members(scope) == expected
            assert scope.limit is None or len(expected) <= scope.limit

    def _count(self, scope: Scope) -> int:
        return sum(scope.id in {s.id for s in scopes} for scopes in self.held.values())


TestPermits = Permits.TestCase
TestPermits.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
