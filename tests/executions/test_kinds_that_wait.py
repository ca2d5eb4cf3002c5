"""Kinds of agents that wait: for signals, people and time; each thing is consumed once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from agents.activity import SYSTEM, Actor
from agents.models import ActorKind
from agents.runtime import kinds
from agents.runtime.context import AgentContext, ChildHandle, Rejected, Spawn
from agents.runtime.kinds import agent_kind
from agents.runtime.tools.catalogue import TOOLS
from agents.runtime.tools.registry import Toolbox
from boards.actions import decide_approval
from boards.models import Approval, ApprovalStatus, Board
from executions import actions, semaphore, signals
from executions.engine import children, decisions, ends, runner, waits
from executions.engine.context import Context
from executions.engine.control import Control, Reason
from executions.engine.keeper import Keeper
from executions.engine.sweep import sweep
from executions.models import Condition, Event, Execution, Signal, Status, Step
from executions.semaphore import Scope
from executions.worktrees import places
from tests.executions.carrying import claimed, drive
from tests.executions.kinds import an_agent_of, begun, told
from tests.factories import all_at_once, somebody_waits_for_a_lock
from tests.processes import wait_until
from tests.starting import a_board, an_organization

pytestmark = pytest.mark.django_db(transaction=True)

ADA = Actor(ActorKind.MEMBER, uuid4(), "Ada")
Values = list[Any]


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_kinds", dict(kinds._kinds))


def of(function: Callable[..., Any], values: Any = None, **wish: Any) -> Execution:
    """A run of this function, begun."""
    agent_kind("t.waits")(function)
    return begun("t.waits", values, **wish)


def on_a_board(function: Callable[..., Any]) -> Execution:
    """The same on a board, carried on until it leaves."""
    agent_kind("t.waits")(function)
    organization = an_organization()
    run = begun(an_agent_of("t.waits", organization=organization), board=a_board(organization))
    drive(run)
    return run


def hears(count: int) -> Callable[[AgentContext], Values]:
    """A kind that consumes so many signals, one after the other."""

    def kind(context: AgentContext) -> Values:
        heard = [context.wait_for_signal(f"s{n}", "s", timeout=3600) for n in range(count)]
        return [signal and signal.value for signal in heard]

    return kind


def send(run: Execution, value: Any = None, name: str = "s") -> signals.Sent:
    return signals.send(run, name=name, value=value, by=SYSTEM)


def carry_on(run: Execution) -> None:
    """Drive it whenever it is queued, until it has ended."""
    rows = Execution.objects.filter(pk=run.pk)
    while rows.exclude(status=Status.COMPLETED).exists():
        wait_until(
            rows.filter(status=Status.QUEUED, admitted_epoch__isnull=False).exists, seconds=10
        )
        drive(run)


def a_day_later(run: Execution) -> None:
    """Let a day pass: of timers, and of what the steps remember of them."""
    Condition.objects.filter(execution=run, due_at__isnull=False).update(
        due_at=timezone.now() - timedelta(seconds=1)
    )
    for step in Step.objects.filter(execution=run, finished_at=None):
        step.result = {"due_at": (timezone.now() - timedelta(seconds=1)).isoformat()}
        step.save(update_fields=["result"])


# --- signals


@pytest.mark.parametrize("burst", range(3))
def test_a_burst_of_a_hundred_is_consumed_once_and_in_order(burst: int) -> None:
    """They come while the run looks, suspends, wakes and is claimed again."""
    run = of(hears(100))

    def speak() -> None:
        for number in range(100):
            send(run, number)

    done, said = all_at_once(partial(carry_on, run), speak)
    assert (done, said) == (None, None)
    assert run.output == list(range(100))
    assert not Signal.objects.filter(consumed_at=None).exists()
    consumed = Event.objects.filter(execution=run, type="signal.consumed")
    assert list(consumed.values_list("data__number", flat=True)) == list(range(1, 101))
    run.refresh_from_db()
    assert run.signals_pending == 0


def test_ten_consumers_of_five_signals_consume_five() -> None:
    run = of(hears(10))
    for number in range(5):
        send(run, number)
    run.refresh_from_db()
    keeper = Keeper(name="here:1", queues=[], concurrency=10, sweep=lambda: None)
    worker = SimpleNamespace(name="here:1", keeper=keeper)
    all_at_once(*[partial(runner.advance, run.id, run.epoch, worker)] * 10)
    run.refresh_from_db()
    assert run.status == Status.WAITING
    finished = Step.objects.filter(execution=run, finished_at__isnull=False).order_by("id")
    assert [step.result["value"] for step in finished] == list(range(5))
    consumed = Signal.objects.filter(execution=run).order_by("number")
    assert [signal.consumed_by for signal in consumed] == [f"s{n}" for n in range(5)]
    assert told(run).count("signal.consumed") == 5


def test_a_signal_between_the_look_and_the_suspension_is_heard_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the suspension wrote is not written again: neither the step nor what stood before."""

    def kind(context: AgentContext) -> Any:
        context.note("Listen.")
        heard = context.wait_for_signal("s0", "s", timeout=3600)
        return heard and heard.value

    run = of(kind)
    original = ends.suspend

    def suspend(*given: Any) -> bool:
        monkeypatch.setattr(ends, "suspend", original)
        send(run, "just now")
        return original(*given)

    monkeypatch.setattr(ends, "suspend", suspend)
    drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, "just now")
    assert told(run).count("execution.waiting") == 0
    assert told(run).count("signal.received") == 1
    assert [entry.content["text"] for entry in run.entries.all()] == ["Listen."]


def test_a_run_that_goes_on_at_once_has_not_left_its_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A claim after its death would otherwise find half of a change in a directory called clean."""

    def kind(context: Any) -> Any:
        directory = context.files.workspace_for(
            Toolbox(TOOLS.values(), ["Write"]).tool("Write")
        ).root
        context.wait_for_signal("s0", "s")
        return places.noted(directory)["left_at"]

    run = of(kind)
    original = ends.suspend

    def suspend(*given: Any) -> bool:
        send(run)
        return original(*given)

    monkeypatch.setattr(ends, "suspend", suspend)
    drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, "")


def test_where_the_board_is_gone_the_code_is_told() -> None:
    def kind(context: AgentContext) -> str:
        Board.objects.all().delete()
        try:
            context.ask_approval("a", action_type="a", reason="Why not?")
        except Rejected as refusal:
            return refusal.code
        return "asked"

    assert on_a_board(kind).output == "BOARD_REQUIRED"


def test_drained_signals_are_gone_and_the_same_drain_gives_them_again() -> None:
    def kind(context: AgentContext) -> list[Values]:
        drains = []
        for key in ("one", "two"):
            context.wait_for_signal(f"{key}:go", "go")
            drains.append([signal.value for signal in context.drain_signals(key, "s*")])
        return drains

    run = of(kind)
    for value, name in ((1, "s"), (2, "s.x"), (None, "go")):
        send(run, value, name)
    drive(run)
    for value, name in ((3, "s"), (None, "go")):
        send(run, value, name)
    drive(run)
    assert run.output == [[1, 2], [3]]


@pytest.mark.parametrize("name", ["", "a b", "50%", "a" * 201, "tab\t"])
def test_a_name_that_no_signal_has_is_a_mistake_of_the_code(name: str) -> None:
    run = of(lambda context: context.wait_for_signal("w", name))
    drive(run)
    assert run.status == Status.FAILED
    assert "ValueError: No signal has a name like" in run.failure_message


def test_an_underscore_in_a_pattern_is_itself() -> None:
    run = of(lambda context: context.wait_for_signal("w", "a_*").name)
    drive(run)
    assert not send(run, name="ab1").is_resumed
    assert send(run, name="a_1").is_resumed
    drive(run)
    assert run.output == "a_1"


def test_a_signal_and_its_step_are_one_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies after the signal is marked and before the step is written."""

    class Died(BaseException):
        pass

    run = of(hears(1))
    send(run, "once")
    original = signals.mark_consumed

    def mark_consumed(*given: Any, **more: Any) -> None:
        original(*given, **more)
        assert Signal.objects.filter(consumed_at__isnull=False).exists()
        raise Died

    monkeypatch.setattr(signals, "mark_consumed", mark_consumed)
    with pytest.raises(Died):
        drive(run)
    run.refresh_from_db()
    assert Signal.objects.filter(consumed_at=None).count() == run.signals_pending == 1
    assert not Step.objects.filter(execution=run).exists()
    monkeypatch.setattr(signals, "mark_consumed", original)
    _lose_the_lease(run)
    drive(run)
    assert run.output == ["once"]


def test_a_join_and_a_word_of_the_same_end_do_not_stand_in_each_others_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both hold the parent's row before they note on the child's that its end was told."""
    run = of(lambda context: (context.spawn("c", Spawn(prompt="x")), context.sleep("s", 3600)))
    drive(run)
    child = Execution.objects.get(parent=run)
    monkeypatch.setattr(ends, "_followers", [])
    actions.cancel(child, by=SYSTEM)
    child.refresh_from_db()
    a_day_later(run)
    waits.look(run, reason="timer")
    joining = Context(claimed(run), _a_control(run), kinds.find("t.waits", "1"))
    holds, original = threading.Event(), children._is_first_to_tell

    def is_first_to_tell(child: Execution) -> bool:
        if threading.current_thread().name == "teller":
            holds.set()
            wait_until(somebody_waits_for_a_lock, seconds=10)
        return original(child)

    def tell() -> None:
        threading.current_thread().name = "teller"
        children.tell_parent(child)

    def join() -> list[str]:
        holds.wait(10)
        return [c.status for c in joining.join_children("j", [ChildHandle(child.id, "c")])]

    monkeypatch.setattr(children, "_is_first_to_tell", is_first_to_tell)
    assert all_at_once(tell, join) == [None, ["cancelled"]]
    assert told(run).count("child.finished") == 1


def _a_control(run: Execution) -> Control:
    return Control(SimpleNamespace(claim_id=run.claim_id), 3600, taken_at=time.monotonic())


def _lose_the_lease(run: Execution) -> None:
    Execution.objects.filter(pk=run.pk).update(lease_expires_at=timezone.now() - timedelta(hours=1))
    sweep()


def test_signals_of_a_start_are_there_before_anything_runs() -> None:
    given = [{"name": "s", "value": 1, "dedup_key": "a"}, {"name": "s", "value": 2}]
    run = of(hears(2), signals=given)
    assert run.signals_pending == 2
    drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, [1, 2])
    assert told(run)[:3] == ["execution.queued", "signal.received", "signal.received"]


# --- steps


def test_a_step_that_raised_can_be_done_again_also_after_a_wait() -> None:
    tries: list[int] = []

    def kind(context: AgentContext) -> str:
        def work() -> str:
            tries.append(1)
            if len(tries) < 4:
                raise OSError("not yet")
            return "done"

        for attempt in range(2):
            try:
                return context.step("work", work)
            except OSError:
                pass
            try:
                return context.step("work", work)
            except OSError:
                context.wait_for_signal(f"again-{attempt}", "s")
        return "never"

    run = of(kind)
    drive(run)
    assert (run.status, len(tries)) == (Status.WAITING, 2)
    send(run)
    drive(run)
    assert (run.status, run.output, len(tries)) == (Status.COMPLETED, "done", 4)


def test_what_a_step_did_while_its_worker_was_told_to_stop_is_kept() -> None:
    done: list[int] = []

    def kind(context: AgentContext) -> int:
        def work() -> int:
            done.append(1)
            context.control.is_draining = True  # type: ignore[attr-defined]  # The engine's.
            context.control.interrupt(Reason.DRAIN)  # type: ignore[attr-defined]
            return 7

        first = context.step("first", work)
        return context.step("second", lambda: first + 1)

    run = of(kind)
    drive(run)
    assert (run.status, run.recoveries) == (Status.QUEUED, 0)
    drive(run)
    assert (run.output, done) == (8, [1])


def test_a_finished_step_is_never_written_over() -> None:
    """The row keeps what it has, whatever a commit under the same claim says."""
    run = of(lambda context: (context.step("once", lambda: 1), context.wait_for_signal("w", "s")))
    drive(run)
    step = Step.objects.get(execution=run, key="once")
    send(run)
    agent_kind("t.waits", version="2")(lambda context: _written_over(context, step))
    Execution.objects.filter(pk=run.pk).update(kind_version="2")
    drive(run)
    step.refresh_from_db()
    assert (run.status, step.result) == (Status.COMPLETED, 1)


def _written_over(context: Any, step: Step) -> None:
    context.batch.step("once", "step", step.digest, 2)
    context.commit()


# --- approvals


def ask(context: AgentContext) -> Any:
    """Ask a person, for as long as it takes."""
    decided = context.ask_approval("deploy", action_type="deploy", reason="It is time.")
    return decided and [decided.status, decided.reason, decided.by]


@pytest.mark.parametrize(("approve", "status"), [(True, "approved"), (False, "rejected")])
def test_a_decision_wakes_who_asked(approve: bool, status: str) -> None:
    run = on_a_board(ask)
    assert run.status == Status.WAITING
    asked = Approval.objects.get(execution_id=run.id)
    decide_approval(asked, approve=approve, reason="Because.", by=ADA)
    run.refresh_from_db()
    assert run.status == Status.QUEUED
    drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, [status, "Because.", "Ada"])
    assert told(run).count("approval.requested") == Approval.objects.count() == 1


def test_nobody_has_to_decide_in_time() -> None:
    def kind(context: AgentContext) -> Any:
        return context.ask_approval("a", action_type="a", reason="Why not?", timeout=3600)

    run = on_a_board(kind)
    a_day_later(run)
    sweep()
    drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, None)
    asked = Approval.objects.get()
    decide_approval(asked, approve=True, by=ADA)
    run.refresh_from_db()
    assert run.status == Status.COMPLETED


def test_where_nobody_can_be_asked_the_code_is_told() -> None:
    run = of(ask)
    drive(run)
    assert run.status == Status.FAILED
    assert "nobody to ask" in run.failure_message


def test_the_decision_of_what_was_deleted_is_withdrawn() -> None:
    run = on_a_board(ask)
    Approval.objects.all().delete()
    sweep()
    drive(run)
    assert run.output[0] == "withdrawn"


def test_a_cancel_withdraws_what_was_asked() -> None:
    run = on_a_board(ask)
    actions.cancel(run, by=SYSTEM)
    assert Approval.objects.get().status == ApprovalStatus.WITHDRAWN
    assert not Condition.objects.exists()


def test_a_failure_withdraws_what_was_asked_and_an_end_does_not() -> None:
    def kind(context: AgentContext) -> Any:
        context.ask_approval("a", action_type="a", reason="Why not?", timeout=3600)
        assert context.wait_for_signal("s", "s").value == "well"

    for said, status in (("well", ApprovalStatus.PENDING), ("badly", ApprovalStatus.WITHDRAWN)):
        run = on_a_board(kind)
        a_day_later(run)
        send(run, said)
        sweep()
        drive(run)
        assert run.finished_at
        assert Approval.objects.get(execution_id=run.id).status == status


def test_the_sweep_withdraws_what_a_dead_process_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    run = on_a_board(ask)
    monkeypatch.setattr(ends, "_followers", [])
    actions.cancel(run, by=SYSTEM)
    assert Approval.objects.get().status == ApprovalStatus.PENDING
    assert decisions.withdraw_left() == 1
    assert Approval.objects.get().status == ApprovalStatus.WITHDRAWN
    assert decisions.withdraw_left() == 0


def test_a_decision_and_a_cancel_at_once_leave_one_decision() -> None:
    for _ in range(5):
        run = on_a_board(ask)
        asked = Approval.objects.get(execution_id=run.id)
        all_at_once(
            lambda asked=asked: decide_approval(asked, approve=True, by=ADA),
            lambda run=run: actions.cancel(run, by=SYSTEM),
        )
        asked.refresh_from_db()
        run.refresh_from_db()
        assert asked.status in (ApprovalStatus.APPROVED, ApprovalStatus.WITHDRAWN)
        assert run.status == Status.CANCELLED
        assert not Condition.objects.filter(execution=run).exists()


# --- what waiting costs


def test_a_day_of_waiting_costs_no_permit_no_worker_and_no_connection() -> None:
    run = on_a_board(ask)
    run.refresh_from_db()
    assert (run.admitted_epoch, run.claim_id, run.lease_expires_at) == (None, None, None)
    assert not semaphore.members(Scope("board", str(run.board_id)))
    assert not semaphore.members(Scope("agent", str(run.agent_id)))
    Execution.objects.filter(pk=run.pk).update(started_at=timezone.now() - timedelta(days=1))
    connection.close()
    assert _busy_connections() == 0
    sweep()
    run.refresh_from_db()
    assert (run.status, run.recoveries) == (Status.WAITING, 0)
    decide_approval(Approval.objects.get(), approve=True, by=ADA)
    drive(run)
    assert run.output[0] == "approved"


def _busy_connections() -> int:
    """Connections to this database that are in the middle of something, beside this one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND state <> 'idle'"
        )
        return int(cursor.fetchone()[0])


# --- while it is paused


def test_a_pause_asked_for_while_it_suspends_is_not_lost_nor_is_the_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = of(hears(1))
    original = ends.suspend

    def suspend(*given: Any) -> bool:
        actions.pause(run, by=SYSTEM)
        return original(*given)

    monkeypatch.setattr(ends, "suspend", suspend)
    drive(run)
    assert run.status == Status.PAUSED
    monkeypatch.setattr(ends, "suspend", original)
    assert actions.resume(run, by=SYSTEM).status == Status.WAITING
    assert send(run, "now").is_resumed
    drive(run)
    assert run.output == ["now"]


def test_a_timeout_that_passes_while_it_is_paused_ends_the_wait_at_the_resume() -> None:
    run = of(hears(1))
    drive(run)
    actions.pause(run, by=SYSTEM)
    a_day_later(run)
    sweep()
    run.refresh_from_db()
    assert run.status == Status.PAUSED
    assert actions.resume(run, by=SYSTEM).status == Status.QUEUED
    drive(run)
    assert run.output == [None]


def test_a_resume_and_a_signal_at_once_wake_it_once() -> None:
    run = of(hears(5))
    drive(run)
    for number in range(5):
        actions.pause(run, by=SYSTEM)
        answers = all_at_once(partial(actions.resume, run, by=SYSTEM), partial(send, run, number))
        assert not [answer for answer in answers if isinstance(answer, Exception)]
        run.refresh_from_db()
        assert run.status == Status.QUEUED
        drive(run)
    assert run.output == list(range(5))


def test_a_signal_that_is_rolled_back_wakes_nobody() -> None:
    run = of(hears(1))
    drive(run)
    with transaction.atomic():
        assert send(run, "no").is_resumed
        transaction.set_rollback(True)
    run.refresh_from_db()
    assert (run.status, run.signals_pending) == (Status.WAITING, 0)
    assert Condition.objects.filter(execution=run, met_at=None).count() == 2


def test_a_wait_that_is_over_at_once_leaves_no_condition() -> None:
    run = of(lambda context: context.sleep("nap", 0))
    drive(run)
    assert run.status == Status.COMPLETED
    assert not Condition.objects.exists()
