"""Messages through a webhook: at least once, each with one id, whatever the other side does."""

from __future__ import annotations

from collections import Counter

import pytest
from django.db import connection, transaction
from standardwebhooks import Webhook

from agents import outbox
from agents.activity import SYSTEM
from agents.gateways import reach, webhook
from agents.messages import Letter, notify
from agents.models import Activity, Agent, Message, MessageKind
from agents.outbox import MOST_ATTEMPTS, send_due
from tests.boards.agents import AGENT, World, with_token
from tests.boards.gateways import due_in, later, on_loopback, reached_at
from tests.factories import API, all_at_once, client_of, counted_statements
from tests.receiver import receiver

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def far(settings):
    on_loopback(settings)
    with receiver() as told:
        yield told


@pytest.fixture
def worker(world, far) -> Agent:
    world.reached = reached_at(far, world.worker, world.other_lead)
    world.worker.refresh_from_db()
    return world.worker


def tell(world: World, words: str = "Go on.") -> Message:
    letter = Letter(MessageKind.CHAT, words, world.worker)
    return notify(world.organization, letter, by=SYSTEM)


def state_of(message: Message) -> tuple[str, int]:
    message.refresh_from_db()
    return message.state, message.attempts


def lines(kind: str) -> list[str]:
    return list(
        Activity.objects.filter(type__startswith=kind).order_by("id").values_list("type", flat=True)
    )


# --- after the commit ----------------------------------------------------------------------------


def test_a_message_is_pending_until_it_was_posted(world, worker, far) -> None:
    message = tell(world)
    assert (state_of(message), far.taken) == (("pending", 0), [])
    assert send_due() == 1
    assert state_of(message) == ("delivered", 1)
    (taken,) = far.taken
    assert Webhook(world.reached.secret).verify(taken.body, taken.headers)
    assert taken.key == str(message.id) == taken.told["data"]["id"]
    assert (taken.told["type"], taken.told["data"]["content"]) == ("message.chat", "Go on.")
    assert taken.told["data"]["recipient"] == {"id": str(worker.id), "name": "Wim"}
    assert send_due() == 0


def test_one_that_is_not_taken_is_tried_again_with_the_same_id(world, worker, far) -> None:
    far.manner = lambda taken: 503
    message = tell(world)
    waits = []
    for _ in range(MOST_ATTEMPTS - 1):
        later(hours=2)
        assert message.state == "pending"
        waits += due_in()
    for planned, waited in zip([5, 15, 45, 135, 405, 1215, 3600], waits, strict=True):
        assert 0.79 * planned < waited <= 1.2 * planned
    later(hours=2)
    assert state_of(message) == ("failed", MOST_ATTEMPTS)
    assert "It answered 503" in message.failure
    assert set(far.keys) == {str(message.id)}
    assert lines("message.") == ["message.failed"]
    assert later(days=9) == 0, "what is given up is not tried"


def test_one_that_failed_is_sent_again_from_the_beginning(world, worker, far) -> None:
    far.manner = lambda taken: 500
    message = tell(world)
    for _ in range(MOST_ATTEMPTS):
        later(hours=2)
    far.manner = lambda taken: 204
    api = client_of(world.organization)
    answer = api.post(f"{API}/messages/{message.id}/resend")
    assert (answer.status_code, answer.json()["state"]) == (200, "pending")
    assert api.post(f"{API}/messages/{message.id}/resend").status_code == 409
    send_due()
    assert state_of(message) == ("delivered", MOST_ATTEMPTS + 1)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 410, 429, 500])
def test_only_success_takes_it(world, worker, far, status) -> None:
    far.manner = lambda taken: status
    message = tell(world)
    send_due()
    assert state_of(message) == ("pending", 1)
    assert len(far.taken) == 1, "a redirect is not followed"


def test_a_reset_and_a_closed_port_are_tried_again(world, worker, far) -> None:
    far.manner = lambda taken: None
    message = tell(world)
    send_due()
    assert state_of(message) == ("pending", 1)
    world.reached.url = "http://127.0.0.1:9/"
    world.reached.save()
    later(minutes=1)
    assert state_of(message) == ("pending", 2)
    world.reached.url, far.manner = far.url, lambda taken: 200
    world.reached.save()
    later(minutes=1)
    assert state_of(message) == ("delivered", 3)


def test_a_receiver_that_hangs_holds_up_no_other_message(world, worker, far, monkeypatch) -> None:
    monkeypatch.setattr(reach, "SECONDS", 0.5)
    first, second = tell(world, "First."), tell(world, "Second.")
    far.manner = lambda taken: far.hang(taken) if taken.told["data"]["content"] == "First." else 204
    send_due()
    assert (state_of(first)[0], state_of(second)[0]) == ("pending", "delivered")
    assert "did not answer" in first.failure
    far.manner = lambda taken: 204
    later(minutes=1)
    assert state_of(first) == ("delivered", 2)


def test_however_much_there_is_for_one_that_hangs_others_are_told_meanwhile(
    world, worker, far, monkeypatch
) -> None:
    monkeypatch.setattr(reach, "SECONDS", 0.3)
    monkeypatch.setattr(outbox, "BATCH", 2)
    far.manner = far.hang
    hung = [tell(world, str(number)) for number in range(6)]
    with receiver() as near:
        reached_at(near, world.lead)
        world.lead.refresh_from_db()
        letter = Letter(MessageKind.CHAT, "Go on.", world.lead)
        last = notify(world.organization, letter, by=SYSTEM)
        assert send_due() == 3
    assert state_of(last) == ("delivered", 1)
    assert [state_of(message)[1] for message in hung] == [1, 1, 0, 0, 0, 0]


def test_batches_share_their_connections_and_cost_the_same_however_full(
    world, worker, far, monkeypatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 10)
    costs = []
    for count in (5, 10, 20):
        for number in range(count):
            tell(world, str(number))
        with counted_statements() as statements:
            assert send_due() == count
        costs.append(len(statements))
    assert costs[0] == costs[1]
    assert costs[2] - costs[1] == costs[1] - 1, "the last look finds nothing"
    assert far.connections <= 30, "ten at once, for each call of it"


def test_one_that_fails_oddly_takes_no_other_with_it(world, worker, far, monkeypatch) -> None:
    odd, good = tell(world, "Odd."), tell(world, "Good.")
    original = webhook._shown

    def shown(message: Message):
        if message.content == "Odd.":
            raise RuntimeError
        return original(message)

    monkeypatch.setattr(webhook, "_shown", shown)
    send_due()
    assert (state_of(odd), state_of(good)) == (("pending", 1), ("delivered", 1))
    assert "RuntimeError" in odd.failure


def test_who_delivers_lets_others_have_its_thread(world, worker, far, monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(outbox, "ENOUGH_SECONDS", 0)
    monkeypatch.setattr(outbox, "BATCH", 2)
    for number in range(3):
        tell(world, str(number))
    monkeypatch.setattr(outbox.hints, "call", lambda task, *args, queue: calls.append(task))
    assert (send_due(), calls) == (2, ["agents.tasks.deliver"])
    assert send_due() == 1


def test_an_address_that_is_not_public_is_not_posted_to(world, worker, far, settings) -> None:
    settings.DELIVERY_NETWORKS = []
    message = tell(world)
    send_due()
    assert (state_of(message), far.taken) == (("pending", 1), [])
    assert "not a public address" in message.failure


def test_a_gateway_that_is_switched_off_meanwhile_is_waited_for(world, worker, far) -> None:
    message = tell(world)
    world.reached.is_enabled = False
    world.reached.save()
    send_due()
    assert (state_of(message), far.taken) == (("pending", 1), [])
    Agent.objects.filter(pk=worker.pk).update(gateway=None)
    later(minutes=1)
    assert state_of(message) == ("delivered", 2), "it waits in the inbox that the agent has now"


def test_what_is_for_an_agent_that_is_gone_fails_at_once(world, worker, far) -> None:
    message = tell(world)
    worker.delete()
    send_due()
    assert (state_of(message), far.taken) == (("failed", 1), [])


def test_one_that_is_acknowledged_on_arrival_stays_so(world, worker, far) -> None:
    agent = with_token(worker)

    def acknowledge(taken):
        agent.post(f"{AGENT}/inbox/{taken.told['data']['id']}/ack")
        connection.close()  # The receiver's thread has one of its own.
        return 500

    far.manner = acknowledge
    message = tell(world)
    send_due()
    assert state_of(message) == ("acknowledged", 1), "who reads it has it, whatever was answered"
    assert message.delivered_at is not None


# --- failures of ours ----------------------------------------------------------------------------


def test_many_deliverers_at_once_post_each_message_once(world, worker, far) -> None:
    written = [tell(world, str(number)) for number in range(120)]
    all_at_once(*[send_due] * 6)
    assert Counter(far.keys) == Counter(str(message.id) for message in written)
    assert set(Message.objects.values_list("state", flat=True)) == {"delivered"}


@pytest.mark.parametrize("dies", ["before the post", "after the post"])
def test_a_worker_that_dies_loses_nothing(world, worker, far, monkeypatch, dies) -> None:
    message = tell(world)

    class Killed(BaseException):
        pass

    def killed(*_args, **_kwargs):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(outbox, "_try" if dies == "before the post" else "_settle", killed)
        with pytest.raises(Killed):
            send_due()
    assert state_of(message) == ("pending", 1)
    assert send_due() == 0, "its claim holds for a while"
    later(seconds=61)
    assert state_of(message) == ("delivered", 2)
    assert set(far.keys) == {str(message.id)}


def test_a_claim_that_was_lost_settles_nothing(world, worker, far) -> None:
    message = tell(world)
    far.manner = lambda taken: 500
    (late,) = outbox._claim()
    later(seconds=61)
    assert state_of(message) == ("pending", 2)
    outbox._settle([late], [""])
    assert state_of(message) == ("pending", 2)


def test_the_sweep_calls_for_what_no_hint_reached(world, worker, monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(outbox.hints, "call", lambda task, *args, queue: calls.append(task))
    assert outbox.call_if_due() == 0
    tell(world)
    assert calls == ["agents.tasks.deliver"]
    assert outbox.call_if_due() == 1
    assert calls == ["agents.tasks.deliver"] * 2


def test_a_transaction_calls_once_however_much_it_writes(world, worker, monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(outbox.hints, "call", lambda task, *args, queue: calls.append(task))
    with transaction.atomic():
        for _ in range(20):
            tell(world)
    assert calls == ["agents.tasks.deliver"]


# --- within the request --------------------------------------------------------------------------


def nudge(world: World, **headers: str):
    path = f"{world.home}/agents/{world.worker.id}/nudge"
    return with_token(world.lead).post(path, {"message": "Go on."}, **headers)


def test_a_nudge_is_posted_before_it_is_answered(world, worker, far) -> None:
    assert nudge(world).json() == {"ok": True}
    assert len(far.taken) == 1
    assert Message.objects.get().state == "delivered"
    assert lines("agent.nudge") == ["agent.nudge.sent"]


def test_a_nudge_that_fails_is_kept_and_its_key_is_not_used_up(world, worker, far) -> None:
    far.manner = lambda taken: 500
    failed = nudge(world, HTTP_IDEMPOTENCY_KEY="n1")
    assert (failed.status_code, failed.json()["code"]) == (502, "GATEWAY_FAILED")
    message = Message.objects.get()
    assert state_of(message) == ("failed", 1)
    assert lines("agent.nudge") == ["agent.nudge.failed"]
    assert later(days=1) == 0, "who was told of the failure decides what follows"
    far.manner = lambda taken: 204
    assert nudge(world, HTTP_IDEMPOTENCY_KEY="n1").status_code == 200
    again = nudge(world, HTTP_IDEMPOTENCY_KEY="n1")
    assert again["Idempotency-Replayed"] == "true"
    assert (Message.objects.count(), len(far.taken)) == (2, 2)


def test_a_request_that_dies_before_its_post_leaves_it_to_the_outbox(
    world, worker, far, monkeypatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_args, **_kwargs):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(outbox, "_try", killed)
        with pytest.raises(Killed):
            nudge(world, HTTP_IDEMPOTENCY_KEY="n1")
    in_flight = nudge(world, HTTP_IDEMPOTENCY_KEY="n1")
    assert (in_flight.status_code, in_flight.json()["code"]) == (409, "IDEMPOTENCY_IN_FLIGHT")
    assert send_due() == 0
    later(seconds=61)
    assert state_of(Message.objects.get()) == ("delivered", 2)
    assert len(far.taken) == 1


def test_a_broadcast_tells_whom_it_reached(world, worker, far) -> None:
    main = with_token(world.main)
    far.manner = lambda taken: 500
    answer = main.post(f"{AGENT}/gateway/leads/broadcast", {"content": "Freeze."})
    assert answer.status_code == 207, answer.content
    told = answer.json()
    assert (told["sent"], told["failed"], told["ok"]) == (1, 1, False)
    assert {each["ok"] for each in told["results"]} == {True, False}
    assert lines("lead.message") == ["lead.message.sent", "lead.message.failed"]
    assert b"It answered" not in answer.content, "what it said is for operators"


def test_a_soul_is_sent_before_it_is_saved(world, worker, far) -> None:
    path = f"{world.home}/agents/{world.worker.id}/soul"
    lead = with_token(world.lead)
    assert lead.put(path, {"content": "Count twice."}).status_code == 200
    assert Message.objects.get().state == "delivered"
    far.manner = lambda taken: 500
    assert lead.put(path, {"content": "Count thrice."}).status_code == 502
    worker.refresh_from_db()
    assert worker.soul == "Count twice."
    assert Message.objects.filter(state="failed").count() == 1


def test_an_agent_may_call_while_it_is_told_its_soul(world, worker, far, monkeypatch) -> None:
    monkeypatch.setattr(reach, "SECONDS", 3.0)
    agent, called = with_token(worker), []

    def call(taken):
        called.append(agent.get(f"{AGENT}/inbox").status_code)
        connection.close()
        return 204

    far.manner = call
    path = f"{world.home}/agents/{world.worker.id}/soul"
    assert with_token(world.lead).put(path, {"content": "Count twice."}).status_code == 200
    assert called == [200]
