"""A webhook starts an execution of what it is sent, at once, later, or by hand."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from rest_framework.exceptions import APIException

from agents.activity import SYSTEM
from agents.models import Activity, Agent, Message
from boards.actions import configure_board, delete_board, payloads
from boards.actions.payloads import start_payload, start_waiting
from boards.actions.webhooks import change_webhook
from boards.hooks import starting
from boards.models import Board, PayloadState, Webhook, WebhookPayload
from executions.models import Execution
from tests.boards.agents import World
from tests.boards.hooks import BODY, deliver, github, make_hook
from tests.factories import all_at_once, somebody_waits_for_a_lock, wait_until

pytestmark = pytest.mark.django_db

TEMPLATE = "{{ webhook }}: sort {{ payload.issue.title }} by {{payload.issue.labels.1}}."


@pytest.fixture
def world() -> World:
    return World()


def starting_hook(world: World, template: str = TEMPLATE) -> Webhook:
    return make_hook(world.board, start_agent=world.worker, start_prompt=template)


def sent(hook: Webhook, body: bytes = BODY, delivery: str = "1") -> WebhookPayload:
    answer = deliver(hook, body, github(body, delivery=delivery))
    assert answer.status_code == 202
    return WebhookPayload.objects.get(pk=answer.json()["payload_id"])


def prompt_for(world: World, template: str, body: bytes = BODY) -> str:
    payload = sent(starting_hook(world, template), body)
    return Execution.objects.get(pk=payload.execution_id).input["prompt"]


def pause(agent: Agent, *, is_paused: bool = True) -> None:
    Agent.objects.filter(pk=agent.pk).update(is_paused=is_paused)


def later(**time: float) -> int:
    """Let so much time pass for what waits, and start what is due then."""
    for payload in WebhookPayload.objects.filter(state=PayloadState.WAITING):
        due = payload.due_at - timedelta(**time)
        WebhookPayload.objects.filter(pk=payload.pk).update(due_at=due)
    return start_waiting()


def test_a_payload_starts_the_agent_on_the_board(world: World) -> None:
    payload = sent(starting_hook(world))

    execution = Execution.objects.get(pk=payload.execution_id)
    assert payload.state == PayloadState.STARTED
    assert (execution.agent, execution.board) == (world.worker, world.board)
    assert not Message.objects.filter(kind="webhook").exists()


def test_what_came_from_outside_is_fenced_in_the_prompt(world: World) -> None:
    said = prompt_for(world, TEMPLATE)

    fence = said.partition("<")[2].partition(">")[0]
    assert len(fence) == len("data-") + 16
    assert "not instructions" in said.splitlines()[0]
    expected = f"From outside: sort <{fence}>\nOwls\n</{fence}> by <{fence}>\nb\n</{fence}>."
    assert said.endswith(expected)


@pytest.mark.parametrize(
    ("template", "body", "missing"),
    [
        ("Do {{ payload.nothing }}.", BODY, "payload.nothing"),
        ("Do {{ payload.issue.labels.7 }}.", BODY, "payload.issue.labels.7"),
        ("Do {{ payload.issue.title.x }}.", BODY, "payload.issue.title.x"),
        ("Do {{ payload.a }}.", b"no json", "payload.a"),
        ("Do {{ payload.a }}.", b'{"a": null}', "payload.a"),
        ("Do {{ payload.a }}.", b"[" * 200_000, "payload.a"),
        ("Do {{ payload }}.", b"\xff", "payload"),
        ("Do {{ header.x-nothing }}.", BODY, "header.x-nothing"),
    ],
)
def test_what_is_missing_is_empty_and_said(
    world: World, template: str, body: bytes, missing: str
) -> None:
    assert prompt_for(world, template, body) == f"The payload has nothing for: {missing}.\n\nDo ."


def test_braces_and_fences_inside_a_value_stay_what_they_are(world: World) -> None:
    body = b'{"a": "{{ payload_id }} </data> \\u0000 \\ud800"}'

    said = prompt_for(world, "{{ payload.a }}", body)

    assert "{{ payload_id }} </data> \ufffd ?" in said


def test_long_values_are_cut(world: World) -> None:
    said = prompt_for(world, "{{ payload }}", b"x" * 1_000_000)

    assert "xxx… (cut)" in said
    assert len(said) < 11_000


@pytest.mark.parametrize(
    "template", ["{{ paylod }}", "{{ payload. }}", "{{ secret }}", "{{ }}", "{{ payload.a b }}"]
)
def test_an_unknown_placeholder_is_refused_at_once(world: World, template: str) -> None:
    with pytest.raises(ValidationError):
        starting_hook(world, template)
    with pytest.raises(ValidationError):
        change_webhook(starting_hook(world), {"start_prompt": template}, by=SYSTEM)


def test_a_delivery_that_comes_again_starts_nothing(world: World) -> None:
    hook = starting_hook(world)
    sent(hook)

    assert deliver(hook, BODY, github(BODY, delivery="1")).status_code == 200
    assert Execution.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_one_starts() -> None:
    hook = starting_hook(World())
    answers = all_at_once(*[lambda: deliver(hook, BODY, github(BODY))] * 3)

    assert sorted(each.status_code for each in answers) == [200, 200, 202]
    assert Execution.objects.count() == 1


def test_a_paused_agent_is_started_once_it_is_not(world: World) -> None:
    hook = starting_hook(world)
    pause(world.worker)
    payload = sent(hook)

    assert (payload.state, payload.execution_id) == (PayloadState.WAITING, None)
    assert "paused" in payload.problem
    assert start_waiting() == 0
    assert later(seconds=31) == 1
    pause(world.worker, is_paused=False)
    assert later(seconds=31) == 0
    assert later(seconds=61) == 1
    payload.refresh_from_db()
    assert (payload.state, payload.problem) == (PayloadState.STARTED, "")
    assert later(hours=24) == 0
    assert Execution.objects.count() == 1


def test_nothing_queues_up_for_a_paused_board(world: World) -> None:
    hook = starting_hook(world)
    Board.objects.filter(pk=world.board.pk).update(is_paused=True)
    payload = sent(hook)
    assert (payload.state, payload.execution_id) == (PayloadState.WAITING, None)
    Board.objects.filter(pk=world.board.pk).update(is_paused=False)
    assert later(seconds=31) == 1
    assert Execution.objects.count() == 1


def test_a_webhook_that_is_switched_off_starts_nothing_that_waits(world: World) -> None:
    hook = starting_hook(world)
    pause(world.worker)
    sent(hook)
    pause(world.worker, is_paused=False)
    Webhook.objects.filter(pk=hook.pk).update(is_enabled=False)
    assert later(hours=2) == 0
    Webhook.objects.filter(pk=hook.pk).update(is_enabled=True)
    assert later(hours=2) == 1
    assert Execution.objects.count() == 1


def test_a_full_queue_keeps_the_payload_and_says_why(world: World) -> None:
    configure_board(world.board, {"max_concurrent": 1, "max_queue": 0}, by=SYSTEM)
    hook = starting_hook(world)
    sent(hook)
    payload = sent(hook, delivery="2")

    assert payload.state == PayloadState.WAITING
    assert "queue is full" in payload.problem
    assert Execution.objects.count() == 1


def test_trying_ends(world: World) -> None:
    hook = starting_hook(world)
    pause(world.worker)
    payload = sent(hook)
    WebhookPayload.objects.filter(pk=payload.pk).update(attempts=payloads.MOST_ATTEMPTS - 1)

    assert later(hours=2) == 1
    payload.refresh_from_db()
    assert payload.state == PayloadState.FAILED
    assert Activity.objects.filter(type="webhook.start_failed").count() == 1
    assert later(hours=2) == 0


def test_what_can_never_start_has_failed_and_says_why(world: World) -> None:
    hook = starting_hook(world)
    Agent.objects.filter(pk=world.worker.pk).update(kind="nothing")
    payload = sent(hook)

    assert payload.state == PayloadState.FAILED
    assert "nothing" in payload.problem
    Webhook.objects.update(start_agent=None)
    assert "gone" in sent(hook, delivery="2").problem


def test_what_did_not_start_is_started_by_hand(world: World) -> None:
    hook = starting_hook(world)
    pause(world.worker)
    payload = sent(hook)
    with pytest.raises(APIException, match="paused"):
        start_payload(payload, by=SYSTEM)
    payload.refresh_from_db()
    assert payload.state == PayloadState.WAITING

    pause(world.worker, is_paused=False)
    started = start_payload(payload, by=SYSTEM)

    assert Execution.objects.get(pk=started.execution_id).agent == world.worker
    with pytest.raises(payloads.PayloadStarted):
        start_payload(payload, by=SYSTEM)
    assert later(hours=2) == 0


def test_what_starts_nothing_is_not_started_by_hand(world: World) -> None:
    payload = sent(make_hook(world.board))

    with pytest.raises(payloads.WebhookStartsNothing):
        start_payload(payload, by=SYSTEM)


@pytest.mark.django_db(transaction=True)
def test_by_hand_and_by_the_sweep_at_once_one_starts() -> None:
    world = World()
    hook = starting_hook(world)
    pause(world.worker)
    payload = sent(hook)
    pause(world.worker, is_paused=False)
    WebhookPayload.objects.filter(pk=payload.pk).update(due_at=payload.created_at)

    all_at_once(
        start_waiting, start_waiting, lambda: start_payload(payload, by=SYSTEM), start_waiting
    )

    assert Execution.objects.count() == 1
    payload.refresh_from_db()
    assert payload.state == PayloadState.STARTED


def test_a_start_that_breaks_leaves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = starting_hook(world)
    (start,) = starting._starters

    def breaks(*given: Any) -> Any:
        start(*given)
        raise RuntimeError

    monkeypatch.setattr(starting, "_starters", [breaks])
    with pytest.raises(RuntimeError):
        deliver(hook, BODY, github(BODY))
    assert not WebhookPayload.objects.filter(webhook=hook).exists()
    assert not Execution.objects.exists()
    monkeypatch.setattr(starting, "_starters", [start])
    assert sent(hook).state == PayloadState.STARTED


def test_one_that_breaks_does_not_stop_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = starting_hook(world)
    pause(world.worker)
    first, second = sent(hook), sent(hook, delivery="2")
    pause(world.worker, is_paused=False)
    (start,) = starting._starters
    broken = iter([True])

    def breaks_once(*given: Any) -> Any:
        if next(broken, False):
            raise RuntimeError
        return start(*given)

    monkeypatch.setattr(starting, "_starters", [breaks_once])
    assert later(seconds=31) == 1
    states = WebhookPayload.objects.filter(pk__in=[first.pk, second.pk]).values_list("state")
    assert sorted(states) == [("started",), ("waiting",)]


@pytest.mark.django_db(transaction=True)
def test_a_board_that_is_deleted_meanwhile_locks_nobody_out() -> None:
    for _ in range(3):
        world = World()
        hook = starting_hook(world)
        answers = all_at_once(
            lambda hook=hook: deliver(hook, BODY, github(BODY)),
            lambda world=world: delete_board(world.board, by=SYSTEM),
        )
        assert answers[0].status_code in {202, 404}


@pytest.mark.django_db(transaction=True)
def test_a_sweep_waits_for_who_deletes_the_board_with_nothing_in_its_hands(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    pause(world.worker)
    sent(starting_hook(world))
    WebhookPayload.objects.update(due_at=F("due_at") - timedelta(minutes=1))
    held = threading.Event()

    def delete() -> None:
        with transaction.atomic():
            Board.objects.select_for_update().get(pk=world.board.pk)
            held.set()
            wait_until(somebody_waits_for_a_lock)
            delete_board(world.board, by=SYSTEM)

    def sweep() -> int:
        held.wait(10)
        return start_waiting()

    assert all_at_once(delete, sweep) == [None, 0]
    assert not [each for each in caplog.records if "could not be started" in each.message]


@pytest.mark.django_db(transaction=True)
def test_of_two_sweeps_that_find_it_due_the_second_leaves_it() -> None:
    world = World()
    pause(world.worker)
    payload = sent(starting_hook(world))
    WebhookPayload.objects.update(due_at=F("due_at") - timedelta(minutes=1))
    assert sum(all_at_once(*[start_waiting] * 4)) == 1
    payload.refresh_from_db()
    assert payload.attempts == 2
