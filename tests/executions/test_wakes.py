"""What ends a wait comes before, while or after its run suspends: the run goes on, and once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction

from agents.activity import SYSTEM, Actor
from agents.models import ActorKind
from boards import decisions
from boards.actions import ApprovalRequest, ask_approval, decide_approval, questions
from executions import actions, signals, tool_decisions
from executions.engine import conditions, ends, job_cancel, sweep
from executions.engine.claim import Batch, Claim
from executions.engine.conditions import Wait, Wanted
from executions.engine.toolcalls import digest
from executions.models import CallStatus, Condition, Event, Execution, Status, ToolCall
from tests.executions.carrying import claimed
from tests.executions.scheduling import scheduled
from tests.factories import all_at_once, somebody_waits_for_a_lock
from tests.long_form import IS_LONG
from tests.processes import wait_until
from tests.starting import a_board, a_run, an_agent

pytestmark = pytest.mark.django_db(transaction=True)

# Random interleavings of each kind of news; a thousand in `make chaos`.
ROUNDS = 1000 if IS_LONG else 20
# Suspending and telling take about as long.
SPREAD_SECONDS = 0.004
ADA = Actor(ActorKind.MEMBER, uuid4(), "Ada")


@dataclass(frozen=True)
class News:
    """What a run waits for, and how it comes about."""

    wait: Wait
    come: Callable[[], Any]


def a_signal(claim: Claim) -> News:
    name = f"go.{uuid4().hex}"
    send = partial(signals.send, claim.execution, name=name, by=SYSTEM)
    return News(Wait([Wanted(Condition.Kind.SIGNAL, name=f"{name[:-1]}*")]), send)


def an_approval(claim: Claim) -> News:
    board = claim.execution.board
    assert board is not None
    request = ApprovalRequest("deploy", "It is time.", execution_id=claim.id)
    asked = ask_approval(board, request, by=SYSTEM)
    return _of(Condition.Kind.APPROVAL, asked.id, partial(decide_approval, asked, approve=True))


def a_job(claim: Claim) -> News:
    job = scheduled(claim, key=uuid4().hex)
    return _of(Condition.Kind.JOB, job.id, partial(job_cancel.cancel, job))


def a_child(claim: Claim) -> News:
    assert claim.execution.agent is not None
    child = a_run(claim.execution.agent, {"say": "x"})
    Execution.objects.filter(pk=child.pk).update(parent=claim.id)
    return _of(Condition.Kind.CHILD, child.id, partial(actions.cancel, child))


def a_tool_call(claim: Claim) -> News:
    call = ToolCall.objects.create(
        execution=claim.execution,
        reply_position=1,
        position=ToolCall.objects.count() + 1,
        turn=1,
        call_id=uuid4().hex,
        name="Bash",
        arguments={"command": "make"},
        arguments_digest=digest({"command": "make"}),
        needs_approval=True,
        status=CallStatus.AWAITING_APPROVAL,
    )
    return _of(Condition.Kind.TOOL_CALL, call.id, partial(tool_decisions.approve, call))


def a_question(claim: Claim) -> News:
    board = claim.execution.board
    assert board is not None
    asked = questions.ask_people(
        board, questions.Question("Which owls?", execution_id=claim.id), by=SYSTEM
    )
    answer = partial(questions.answer, asked, "The barn owls.")
    return _of(Condition.Kind.QUESTION, asked.id, answer)


def _of(kind: Condition.Kind, target: Any, come: Callable[..., Any]) -> News:
    return News(Wait([Wanted(kind, target_id=target)]), partial(come, by=ADA))


def a_timer(claim: Claim) -> News:
    seconds = SPREAD_SECONDS / 2

    def come() -> None:
        time.sleep(seconds)  # It is time itself that comes.
        sweep._fire_timers()

    return News(Wait(seconds=seconds), come)


TOLD = {
    "signal": a_signal,
    "approval": an_approval,
    "tool_call": a_tool_call,
    "question": a_question,
    "job": a_job,
    "child": a_child,
}
NEWS = {**TOLD, "timer": a_timer}


def a_claimed_run() -> Claim:
    agent = an_agent()
    return claimed(a_run(agent, {"say": "x"}, board=a_board(agent.organization)))


def wakes(run: Execution) -> int:
    queued = Event.objects.filter(execution=run, type="execution.queued")
    return queued.exclude(data={}).exclude(data__reason="yielded").count()


def suspend(claim: Claim, news: News) -> bool:
    return ends.suspend(claim, Batch(), news.wait)


def assert_went_on_once(run: Execution, *, suspended: bool, earlier: int = 0) -> None:
    run.refresh_from_db()
    assert run.status == (Status.QUEUED if suspended else Status.RUNNING)
    assert wakes(run) - earlier == suspended
    assert not Condition.objects.filter(execution=run).exists()


@pytest.mark.parametrize("kind", NEWS)
def test_no_interleaving_loses_or_doubles_a_wake_up(kind: str) -> None:
    chance = random.Random(kind)  # noqa: S311  Moments, not secrets.
    claim = a_claimed_run()
    run, seen = claim.execution, set()
    for _ in range(ROUNDS):
        news, earlier = NEWS[kind](claim), wakes(run)
        moments = [chance.uniform(0, SPREAD_SECONDS) for _ in range(2)]
        acts = (partial(suspend, claim, news), news.come)
        suspended, came = all_at_once(*map(_at, moments, acts))
        assert isinstance(suspended, bool), suspended
        assert not isinstance(came, Exception), came
        if kind == "timer":
            wait_until(partial(_is_over, run))
        assert_went_on_once(run, suspended=suspended, earlier=earlier)
        seen.add(suspended)
        claim = _claimed_again(run, claim)
    seqs = Event.objects.filter(execution=run).order_by("seq").values_list("seq", flat=True)
    assert list(seqs) == list(range(1, len(seqs) + 1))
    assert seen == {True, False} or ROUNDS < 1000, "the interleavings are none"


def _at(moment: float, act: Callable[[], Any]) -> Callable[[], Any]:
    def later() -> Any:
        time.sleep(moment)  # The interleaving is what is tried.
        return act()

    return later


def _is_over(run: Execution) -> bool:
    sweep._fire_timers()
    return not Condition.objects.filter(execution=run).exists()


def _claimed_again(run: Execution, claim: Claim) -> Claim:
    if run.status == Status.RUNNING:
        ends.give_up(claim, Batch())
    sweep._dispatch_queued()  # The sweep itself does so after its timers.
    return claimed(run)


@pytest.mark.parametrize("kind", TOLD)
def test_what_comes_before_is_seen(kind: str) -> None:
    claim = a_claimed_run()
    news = NEWS[kind](claim)
    news.come()
    assert_went_on_once(claim.execution, suspended=suspend(claim, news))


@pytest.mark.parametrize("kind", TOLD)
def test_what_comes_after_wakes(kind: str) -> None:
    claim = a_claimed_run()
    news = NEWS[kind](claim)
    assert suspend(claim, news)
    news.come()
    assert_went_on_once(claim.execution, suspended=True)


@pytest.mark.parametrize("kind", TOLD)
def test_what_comes_while_the_run_suspends_waits_for_it(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run holds its row and has looked already when the news is there."""
    claim = a_claimed_run()
    news, looked = NEWS[kind](claim), threading.Event()
    original = conditions.is_over

    def is_over(*given: Any) -> bool:
        over = original(*given)
        looked.set()
        wait_until(lambda: came.is_set() or somebody_waits_for_a_lock(), seconds=10)
        return over

    came = threading.Event()

    def come() -> None:
        looked.wait(10)
        monkeypatch.setattr(conditions, "is_over", original)
        news.come()
        came.set()

    monkeypatch.setattr(conditions, "is_over", is_over)
    suspended, told = all_at_once(partial(suspend, claim, news), come)
    assert (suspended, told) == (True, None)
    assert_went_on_once(claim.execution, suspended=True)


def test_a_run_that_suspends_waits_for_a_signal_that_is_on_its_way() -> None:
    """The signal is written and not committed when the run begins to suspend."""
    claim = a_claimed_run()
    news, sent = a_signal(claim), threading.Event()

    def send() -> None:
        with transaction.atomic():
            news.come()
            sent.set()
            wait_until(somebody_waits_for_a_lock, seconds=10)

    def leave() -> bool:
        sent.wait(10)
        return suspend(claim, news)

    told, suspended = all_at_once(send, leave)
    assert (suspended, told) == (False, None)
    assert_went_on_once(claim.execution, suspended=False)


def test_a_word_that_nobody_lived_to_say_is_found_by_the_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    claim = a_claimed_run()
    news = an_approval(claim)
    assert suspend(claim, news)
    monkeypatch.setattr(decisions, "_hearers", [])
    news.come()
    run = claim.execution
    run.refresh_from_db()
    assert run.status == Status.WAITING
    sweep.sweep()
    assert_went_on_once(run, suspended=True)


@pytest.mark.parametrize("kind", TOLD)
def test_what_comes_when_the_run_waits_for_something_else_changes_nothing(kind: str) -> None:
    claim = a_claimed_run()
    late = NEWS[kind](claim)
    assert suspend(claim, late)
    late.come()
    run = claim.execution
    again = claimed(run)
    late = NEWS[kind](again)
    assert ends.suspend(again, Batch(), Wait([Wanted(Condition.Kind.SIGNAL, name="other")]))
    earlier = wakes(run)
    late.come()
    sweep.sweep()
    run.refresh_from_db()
    assert (run.status, wakes(run)) == (Status.WAITING, earlier)


# An answer is taken in any case: the board remembers it.
@pytest.mark.parametrize("kind", sorted(TOLD.keys() - {"question"}))
def test_cancelling_leaves_no_condition_and_what_comes_later_changes_nothing(kind: str) -> None:
    claim = a_claimed_run()
    news = NEWS[kind](claim)
    run = claim.execution
    assert suspend(claim, News(Wait([*news.wait.wanted], seconds=3600), news.come))
    actions.cancel(run, by=SYSTEM)
    assert not Condition.objects.filter(execution=run).exists()
    run.refresh_from_db()
    seq = run.event_seq
    with pytest.raises(Exception, match=r"cancelled|withdrawn|no longer pending"):
        news.come()
    sweep.sweep()
    run.refresh_from_db()
    assert (run.status, run.event_seq) == (Status.CANCELLED, seq)


def test_all_of_a_wait_is_waited_for_in_any_order() -> None:
    claim = a_claimed_run()
    news = [NEWS[kind](claim) for kind in ("job", "signal", "approval")]
    wanted = [each for one in news for each in one.wait.wanted]
    assert ends.suspend(claim, Batch(), Wait(wanted, "all"))
    run = claim.execution
    for one in news:
        assert wakes(run) == 0
        one.come()
    assert_went_on_once(run, suspended=True)


def test_a_timer_ends_a_wait_for_all() -> None:
    claim = a_claimed_run()
    wanted = a_signal(claim).wait.wanted
    assert ends.suspend(claim, Batch(), Wait(wanted, "all", seconds=3600))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE executions_condition SET due_at = due_at - interval '1 day'")
    sweep.sweep()
    assert_went_on_once(claim.execution, suspended=True)
