"""Endpoints are told of every line at least once and in order, whatever fails in between."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.db.models import F, QuerySet
from standardwebhooks import Webhook

from agents import deliveries, delivery_moves, posting
from agents.actions import (
    change_endpoint,
    give_up,
    ping,
    redeliver,
    redeliver_failed,
    rotate_endpoint_secret,
)
from agents.activity import SYSTEM
from agents.deliveries import bring_up_to_date, claim, settle
from agents.fanout import fan_out
from agents.models import (
    Activity,
    Delivery,
    DeliveryAttempt,
    Message,
    MessageKind,
    Organization,
    WebhookEndpoint,
)
from agents.posting import Answer
from tests.agents.delivering import (
    TYPE,
    answer,
    fall_due,
    firsts_of,
    shift,
    tell,
    try_again,
)
from tests.boards.gateways import on_loopback
from tests.factories import (
    all_at_once,
    counted_statements,
    make_endpoint,
    make_organization,
    somebody_waits_for_a_lock,
    wait_until,
)
from tests.receiver import Receiver, Taken
from tests.receiver import receiver as receiving

pytestmark = pytest.mark.django_db(transaction=True)


class Died(BaseException):
    """A process was killed here."""


@pytest.fixture
def receiver(settings) -> Iterator[Receiver]:
    on_loopback(settings)
    with receiving() as made:
        yield made


@pytest.fixture
def organization() -> Organization:
    return make_organization()


@pytest.fixture
def endpoint(organization: Organization, receiver: Receiver) -> WebhookEndpoint:
    return make_endpoint(organization, url=receiver.url, types=[TYPE])


def lines_of(received: list[Taken]) -> list[UUID]:
    return [UUID(each.told["data"]["id"]) for each in received]


def states(endpoint: WebhookEndpoint) -> list[str]:
    in_order = endpoint.deliveries.order_by("xact", "event_id")
    return list(in_order.values_list("state", flat=True))


def test_lines_arrive_in_order_signed_and_whole(organization, endpoint, receiver) -> None:
    lines = tell(organization, 3)
    bring_up_to_date(endpoint.pk)
    assert lines_of(receiver.taken) == [line.id for line in lines]
    first = receiver.taken[0]
    assert Webhook(endpoint.secret).verify(first.body, first.headers) == first.told
    assert first.told["type"] == TYPE
    assert first.told["data"]["organization"] == str(organization.id)
    assert first.told["data"]["data"] == {"number": 0}
    assert first.told["data"]["actor"]["kind"] == "system"
    made = endpoint.deliveries.get(event_id=lines[0].id)
    assert (first.key, made.state, made.attempts) == (str(made.id), "delivered", 1)
    endpoint.refresh_from_db()
    assert (endpoint.due_at, endpoint.leased_until) == (None, None)


def test_nothing_is_told_of_before_and_nothing_of_others(organization, receiver) -> None:
    tell(organization)
    made = make_endpoint(organization, url=receiver.url, types=["agent.*"])
    tell(make_organization())
    tell(organization, type_="gateway.created")
    (line,) = tell(organization)
    bring_up_to_date(made.pk)
    assert lines_of(receiver.taken) == [line.id]


@pytest.mark.parametrize("fault", [500, 302, None])
def test_what_fails_is_tried_again_and_holds_up_what_follows(
    organization, endpoint, receiver, fault
) -> None:
    lines = tell(organization, 3)
    # On a connection that was kept, one that breaks is asked once more.
    posts = 2 if fault is None else 1
    answer(receiver, 204, *[fault] * (posts + 1))
    bring_up_to_date(endpoint.pk)
    bring_up_to_date(endpoint.pk)  # Not due yet.
    assert len(receiver.taken) == 1 + posts
    try_again(endpoint, 2)
    first, *rest = lines_of(receiver.taken)
    assert [first, *rest] == [lines[0].id, *[lines[1].id] * (posts + 2), lines[2].id]
    assert len({each.key for each in receiver.taken[1:-1]}) == 1
    tries = list(DeliveryAttempt.objects.filter(delivery__event_id=lines[1].id).order_by("number"))
    assert [each.status for each in tries] == [fault, fault, 204]
    assert [bool(each.problem) for each in tries] == [True, True, False]
    assert all(each.milliseconds is not None for each in tries)


def test_waits_grow_until_it_recovers(organization, endpoint, receiver) -> None:
    tell(organization)
    receiver.manner = lambda _: 503
    waits = []
    for _ in range(12):
        try_again(endpoint)
        endpoint.refresh_from_db()
        waits.append((endpoint.due_at - deliveries.clock()).total_seconds())
    assert [5 * 3**each * 0.79 < wait < 5 * 3**each * 1.21 for each, wait in enumerate(waits[:9])]
    assert waits == sorted(waits[:9]) + waits[9:]
    assert all(86_400 * 0.79 < wait < 86_400 * 1.21 for wait in waits[9:])
    assert (endpoint.failures, endpoint.failing_since is None) == (12, False)
    receiver.manner = lambda _: 204
    try_again(endpoint)
    endpoint.refresh_from_db()
    assert (endpoint.failures, endpoint.failing_since) == (0, None)


def test_one_that_hangs_is_given_up_for_now(organization, endpoint, receiver, monkeypatch) -> None:
    monkeypatch.setattr(posting, "SECONDS", 0.2)
    over = threading.Event()
    receiver.manner = lambda _: 204 if over.wait(30) else 500
    tell(organization)
    bring_up_to_date(endpoint.pk)
    attempt = DeliveryAttempt.objects.get()
    assert (attempt.status, "did not answer" in attempt.problem) == (None, True)
    over.set()
    try_again(endpoint)
    assert states(endpoint) == ["delivered"]


def test_a_slow_endpoint_holds_up_no_other(organization, endpoint, receiver) -> None:
    with receiving() as other:
        quick = make_endpoint(organization, url=other.url, types=[TYPE])
        tell(organization, 3)
        release = threading.Event()
        receiver.manner = lambda _: 204 if release.wait(8) else 500
        slow = threading.Thread(target=_in_thread, args=(endpoint.pk,))
        slow.start()
        wait_until(lambda: bool(receiver.taken))
        bring_up_to_date(quick.pk)
        arrived = (len(other.taken), len(receiver.taken))
        release.set()
        slow.join()
    assert arrived == (3, 1)
    assert states(endpoint) == ["delivered"] * 3


def _in_thread(endpoint_id: UUID) -> None:
    try:
        bring_up_to_date(endpoint_id)
    finally:
        connection.close()


def test_no_connection_is_held_while_it_is_posted(organization, endpoint, receiver) -> None:
    held = []

    def look(_: Taken) -> int:
        held.append(of_this_thread.connection)
        return 204

    of_this_thread = connections[DEFAULT_DB_ALIAS]
    receiver.manner = look
    tell(organization)
    bring_up_to_date(endpoint.pk)
    assert held == [None]


@pytest.mark.parametrize("at", ["after the claim", "after the post", "while it is settled"])
def test_a_worker_that_dies_loses_nothing(
    organization, endpoint, receiver, monkeypatch, at
) -> None:
    lines = tell(organization, 3)
    name, fault = {
        "after the claim": ("_ask", _die),
        "after the post": ("settle", _die),
        "while it is settled": ("_begin", _die_the_second_time(deliveries._begin)),
    }[at]
    with monkeypatch.context() as dying:
        dying.setattr(deliveries, name, fault)
        # So that each is settled step by step.
        dying.setattr(deliveries, "READ_AHEAD", 1)
        with pytest.raises(Died):
            bring_up_to_date(endpoint.pk)
    seen = len(receiver.taken)
    bring_up_to_date(endpoint.pk)
    assert len(receiver.taken) == seen, "Its lease still holds."
    try_again(endpoint)
    assert lines_of(firsts_of(receiver)) == [line.id for line in lines]
    assert states(endpoint) == ["delivered"] * 3
    tries = list(DeliveryAttempt.objects.order_by("id"))
    assert [each.problem for each in tries] == [deliveries.LOST, "", "", ""]
    assert len(receiver.taken) == (3 if at == "after the claim" else 4)


def _die(*_: object, **__: object) -> None:
    raise Died


def _die_the_second_time(begin):
    calls = []

    def begin_or_die(*args):
        calls.append(args)
        if len(calls) == 2:
            raise Died
        return begin(*args)

    return begin_or_die


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_that_dies_around_the_one_statement_loses_nothing(
    organization, endpoint, receiver, monkeypatch, when
) -> None:
    lines = tell(organization, 3)
    original = delivery_moves.go_on

    def go_on_and_die(*given: object) -> None:
        if when == "after":
            assert original(*given)
        raise Died

    with monkeypatch.context() as dying:
        dying.setattr(delivery_moves, "go_on", go_on_and_die)
        with pytest.raises(Died):
            bring_up_to_date(endpoint.pk)
    bring_up_to_date(endpoint.pk)
    assert len(receiver.taken) == 1, "Its lease still holds."
    try_again(endpoint)
    assert lines_of(firsts_of(receiver)) == [line.id for line in lines]
    assert states(endpoint) == ["delivered"] * 3
    lost = DeliveryAttempt.objects.get(problem=deliveries.LOST)
    assert lost.delivery.event_id == lines[0 if when == "before" else 1].id
    assert len(receiver.taken) == (4 if when == "before" else 3)


def test_what_a_late_worker_comes_back_with_is_not_written(organization, endpoint) -> None:
    tell(organization)
    fan_out(endpoint.pk)
    late = claim(endpoint.pk)
    assert claim(endpoint.pk) is None
    fall_due(endpoint)
    bring_up_to_date(endpoint.pk)
    assert settle(late, Answer(500, "It answered 500."), 1) is None
    endpoint.refresh_from_db()
    assert (states(endpoint), endpoint.failures, endpoint.due_at) == (["delivered"], 0, None)
    assert list(DeliveryAttempt.objects.order_by("number").values_list("problem", flat=True)) == [
        deliveries.LOST,
        "",
    ]


def test_a_late_worker_with_more_to_do_neither_writes_nor_goes_on(organization, endpoint) -> None:
    tell(organization, 3)
    fan_out(endpoint.pk)
    late = claim(endpoint.pk)
    fall_due(endpoint)
    newer = claim(endpoint.pk)
    assert settle(late, Answer(204), 1) is None
    assert states(endpoint) == ["pending"] * 3
    assert DeliveryAttempt.objects.count() == 2
    assert settle(newer, Answer(204), 1) is not None
    assert states(endpoint) == ["delivered", "pending", "pending"]


def test_what_is_given_up_at_that_very_moment_is_not_begun(organization, endpoint) -> None:
    lines = tell(organization, 3)
    fan_out(endpoint.pk)
    first = claim(endpoint.pk)
    held = threading.Event()

    def give_the_second_up() -> None:
        with transaction.atomic():
            give_up(Delivery.objects.get(event_id=lines[1].id), by=SYSTEM)
            held.set()
            wait_until(somebody_waits_for_a_lock)

    def go_on() -> UUID:
        held.wait(10)
        return settle(first, Answer(204), 1).delivery_id

    _, then = all_at_once(give_the_second_up, go_on)
    assert then == Delivery.objects.get(event_id=lines[2].id).id
    assert states(endpoint) == ["delivered", "failed", "pending"]


def test_failures_are_in_a_row_only_while_nothing_is_taken(
    organization, endpoint, receiver
) -> None:
    tell(organization, 4)
    answer(receiver, 500, 204, 204, 500)
    try_again(endpoint, 2)
    endpoint.refresh_from_db()
    assert (endpoint.failures, states(endpoint)[1:3]) == (1, ["delivered", "pending"])


def test_whatever_happens_every_line_arrives_in_order(
    organization, endpoint, receiver, monkeypatch
) -> None:
    dice = random.Random(5)  # noqa: S311  No secret depends on it.
    lines: list[Activity] = []
    receiver.manner = lambda _: dice.choice([204, 204, 204, 500, None])
    settled = deliveries.settle

    def settle_or_die(*args, **options):
        if dice.random() < 0.2:
            raise Died
        return settled(*args, **options)

    monkeypatch.setattr(deliveries, "settle", settle_or_die)
    for _ in range(25):
        lines += tell(organization, dice.randrange(3))
        try:
            try_again(endpoint)
        except Died:
            continue
    monkeypatch.undo()
    receiver.manner = lambda _: 204
    try_again(endpoint)
    assert lines_of(firsts_of(receiver)) == [line.id for line in lines]
    assert set(states(endpoint)) == {"delivered"}


def test_many_in_a_row_go_in_one_claim(organization, endpoint, receiver) -> None:
    tell(organization, 20)
    bring_up_to_date(endpoint.pk)
    endpoint.refresh_from_db()
    assert (len(receiver.taken), endpoint.claim) == (20, 1)


def test_a_row_of_them_goes_over_one_connection(organization, endpoint, receiver) -> None:
    tell(organization, 20)
    bring_up_to_date(endpoint.pk)
    assert (len(receiver.taken), receiver.connections) == (20, 1)


def test_a_connection_that_the_other_side_closes_is_made_anew(
    organization, endpoint, receiver
) -> None:
    receiver.keeps = False
    tell(organization, 5)
    bring_up_to_date(endpoint.pk)
    assert (states(endpoint), receiver.connections) == (["delivered"] * 5, 5)


def test_what_may_be_reached_is_asked_anew_by_every_claim(
    organization, endpoint, receiver, settings
) -> None:
    tell(organization)
    bring_up_to_date(endpoint.pk)
    settings.DELIVERY_NETWORKS = []
    tell(organization)
    bring_up_to_date(endpoint.pk)
    assert (len(receiver.taken), states(endpoint)) == (1, ["delivered", "pending"])


def test_one_delivery_more_costs_one_statement(organization, endpoint, receiver) -> None:
    costs = []
    for count in (10, 40):
        tell(organization, count)
        fan_out(endpoint.pk)
        with counted_statements() as statements:
            deliveries.deliver(endpoint.pk)
        costs.append(len(statements))
    assert len(receiver.taken) == 50
    assert costs[1] - costs[0] == 30


def test_what_is_put_back_meanwhile_comes_first(organization, endpoint, receiver) -> None:
    lines = tell(organization, 5)

    def put_back(taken: Taken) -> int:
        if len(receiver.taken) == 3:
            redeliver(Delivery.objects.get(event_id=lines[0].id), by=SYSTEM)
            connection.close()
        return 204

    receiver.manner = put_back
    bring_up_to_date(endpoint.pk)
    in_order = [lines[each].id for each in (0, 1, 2, 0, 3, 4)]
    assert lines_of(receiver.taken) == in_order


def test_what_is_put_back_while_a_claim_waits_for_the_lock_comes_first(
    organization, endpoint
) -> None:
    lines = tell(organization, 4)
    fan_out(endpoint.pk)
    second = settle(claim(endpoint.pk), Answer(204), 1)
    is_put_back = threading.Event()

    def put_back() -> None:
        with transaction.atomic():
            redeliver(Delivery.objects.get(event_id=lines[0].id), by=SYSTEM)
            is_put_back.set()
            wait_until(somebody_waits_for_a_lock)

    def go_on() -> UUID:
        is_put_back.wait(30)
        return settle(second, Answer(204), 1).delivery_id

    _, then = all_at_once(put_back, go_on)
    assert then == Delivery.objects.get(event_id=lines[0].id).pk


def make_old(rows: QuerySet[Delivery]) -> None:
    """So old that they are pruned."""
    rows.update(created_at=F("created_at") - timedelta(days=31))


def test_what_is_pruned_while_it_is_claimed_leaves_the_rest_due(organization, endpoint) -> None:
    lines = tell(organization, 3)
    fan_out(endpoint.pk)
    make_old(endpoint.deliveries.filter(event_id=lines[0].id))
    is_pruned = threading.Event()

    def prune() -> None:
        with transaction.atomic():
            deliveries.prune()
            is_pruned.set()
            wait_until(somebody_waits_for_a_lock)

    def begin() -> None:
        is_pruned.wait(30)
        claim(endpoint.pk)

    all_at_once(prune, begin)
    assert states(endpoint) == ["pending"] * 2
    assert deliveries.hint_due() == 1


def test_what_a_claim_goes_on_to_is_left_by_the_pruning(organization, endpoint) -> None:
    """It takes deliveries before their tries, as whoever goes on does."""
    tell(organization, 3)
    fan_out(endpoint.pk)
    claim(endpoint.pk)
    make_old(endpoint.deliveries.all())
    next_one = endpoint.deliveries.order_by("xact", "event_id")[1]
    is_held = threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Delivery.objects.select_for_update().get(pk=next_one.pk)
            is_held.set()
            is_over.wait(30)

    def prune() -> int:
        is_held.wait(30)
        try:
            return deliveries.prune()
        finally:
            is_over.set()

    is_over = threading.Event()
    assert all_at_once(hold, prune) == [None, 2]


def test_what_is_given_up_meanwhile_is_not_posted(organization, endpoint, receiver) -> None:
    lines = tell(organization, 4)

    def give_the_third_up(taken: Taken) -> int:
        if len(receiver.taken) == 1:
            give_up(Delivery.objects.get(event_id=lines[2].id), by=SYSTEM)
            connection.close()
        return 204

    receiver.manner = give_the_third_up
    bring_up_to_date(endpoint.pk)
    assert lines_of(receiver.taken) == [lines[each].id for each in (0, 1, 3)]
    assert states(endpoint) == ["delivered", "delivered", "failed", "delivered"]


def test_a_secret_that_is_given_meanwhile_signs_the_next(organization, endpoint, receiver) -> None:
    changed = []

    def rotate(taken: Taken) -> int:
        if not changed:
            changed.append(rotate_endpoint_secret(endpoint, by=SYSTEM))
            connection.close()
        return 204

    receiver.manner = rotate
    tell(organization, 2)
    bring_up_to_date(endpoint.pk)
    last = receiver.taken[1]
    assert Webhook(changed[0].secret).verify(last.body, last.headers) == last.told


def test_a_lease_is_kept_for_as_long_as_there_is_something_to_do(
    organization, endpoint, receiver
) -> None:
    left = []

    def look(taken: Taken) -> int:
        row = WebhookEndpoint.objects.get(pk=endpoint.pk)
        left.append((row.leased_until - deliveries.clock()).total_seconds())
        shift(endpoint, leased_until=timedelta(seconds=20))
        connection.close()
        return 204

    receiver.manner = look
    tell(organization, 4)
    bring_up_to_date(endpoint.pk)
    assert [round(each, -1) for each in left] == [60, 40, 60, 40]


def test_a_worker_lets_others_have_its_thread(
    organization, endpoint, receiver, monkeypatch
) -> None:
    hinted = []
    monkeypatch.setattr(deliveries, "hint", hinted.append)
    monkeypatch.setattr(deliveries, "ENOUGH_SECONDS", 0.0)
    tell(organization, 3)
    bring_up_to_date(endpoint.pk)
    monkeypatch.undo()
    assert (len(receiver.taken), hinted) == (1, [endpoint.pk])
    bring_up_to_date(endpoint.pk)
    assert len(receiver.taken) == 3


def test_not_all_threads_of_a_process_are_at_it(
    organization, endpoint, receiver, monkeypatch
) -> None:
    monkeypatch.setattr(deliveries, "_at_it", threading.BoundedSemaphore(1))
    tell(organization)
    with deliveries._at_it:
        bring_up_to_date(endpoint.pk)
    assert receiver.taken == []
    bring_up_to_date(endpoint.pk)
    tell(organization)
    bring_up_to_date(endpoint.pk)
    assert len(receiver.taken) == 2


def test_after_three_days_of_failures_it_is_switched_off_with_one_alert(
    organization, endpoint, receiver
) -> None:
    lines = tell(organization, 2)
    receiver.manner = lambda _: 500
    try_again(endpoint)
    shift(endpoint, failing_since=timedelta(days=2, hours=23))
    try_again(endpoint)
    endpoint.refresh_from_db()
    assert endpoint.is_enabled
    shift(endpoint, failing_since=timedelta(hours=2))
    try_again(endpoint, 2)
    endpoint.refresh_from_db()
    assert (endpoint.is_enabled, endpoint.disabled_because) == (False, "failing")
    assert len(receiver.taken) == 3
    told = Activity.objects.get(type="webhook_endpoint.disabled")
    assert told.data["given_up"] == 2
    alert = Message.objects.get(kind=MessageKind.ALERT)
    assert (alert.audience, alert.recipient, alert.organization) == ("people", None, organization)
    assert endpoint.name in alert.content

    receiver.manner = lambda _: 204
    meanwhile = tell(organization)
    change_endpoint(endpoint, {"is_enabled": True}, by=SYSTEM)
    assert redeliver_failed(endpoint, by=SYSTEM) == 2
    try_again(endpoint)
    assert lines_of(receiver.taken[3:]) == [line.id for line in [*lines, *meanwhile]]


def test_410_switches_it_off_at_once(organization, endpoint, receiver) -> None:
    tell(organization, 2)
    receiver.manner = lambda _: 410
    try_again(endpoint, 2)
    endpoint.refresh_from_db()
    assert (endpoint.is_enabled, endpoint.disabled_because) == (False, "gone")
    assert (len(receiver.taken), states(endpoint)) == (1, ["failed", "failed"])
    assert Message.objects.filter(kind=MessageKind.ALERT).count() == 1


def test_switched_off_it_is_told_later(organization, endpoint, receiver) -> None:
    lines = tell(organization)
    change_endpoint(endpoint, {"is_enabled": False}, by=SYSTEM)
    lines += tell(organization)
    try_again(endpoint)
    assert receiver.taken == []
    change_endpoint(endpoint, {"is_enabled": True}, by=SYSTEM)
    try_again(endpoint)
    assert lines_of(receiver.taken) == [line.id for line in lines]


def test_switched_off_while_it_is_posted_the_answer_still_counts(
    organization, endpoint, receiver
) -> None:
    def switch_off(_: Taken) -> int:
        change_endpoint(endpoint, {"is_enabled": False}, by=SYSTEM)
        connection.close()
        return 204

    receiver.manner = switch_off
    tell(organization, 2)
    bring_up_to_date(endpoint.pk)
    assert (states(endpoint), len(receiver.taken)) == (["delivered", "pending"], 1)


def test_what_an_old_address_answers_says_nothing_of_the_new_one(
    organization, endpoint, receiver
) -> None:
    def move_away(_: Taken) -> int:
        change_endpoint(endpoint, {"url": f"{receiver.url}/new"}, by=SYSTEM)
        connection.close()
        receiver.manner = lambda taken: 204
        return 410

    receiver.manner = move_away
    tell(organization, 1)
    bring_up_to_date(endpoint.pk)
    endpoint.refresh_from_db()
    assert (endpoint.is_enabled, states(endpoint)) == (True, ["delivered"])
    assert [taken.path for taken in receiver.taken] == ["/hook", "/hook/new"]


def test_what_was_delivered_is_sent_again_with_its_id(organization, endpoint, receiver) -> None:
    tell(organization, 2)
    bring_up_to_date(endpoint.pk)
    first = receiver.taken[0]
    redeliver(Delivery.objects.get(pk=first.key), by=SYSTEM)
    bring_up_to_date(endpoint.pk)
    again = receiver.taken[2]
    assert (again.key, again.body) == (first.key, first.body)


def test_what_is_never_taken_is_given_up_by_hand(organization, endpoint, receiver) -> None:
    lines = tell(organization, 2)
    receiver.manner = lambda it: 500 if it.told["data"]["data"]["number"] == 0 else 204
    try_again(endpoint, 3)
    assert states(endpoint) == ["pending", "pending"]
    give_up(endpoint.deliveries.get(event_id=lines[0].id), by=SYSTEM)
    bring_up_to_date(endpoint.pk)
    assert states(endpoint) == ["failed", "delivered"]


def test_a_ping_has_what_is_pending_tried_at_once(organization, endpoint, receiver) -> None:
    tell(organization)
    answer(receiver, 500)
    bring_up_to_date(endpoint.pk)
    ping(endpoint, by=SYSTEM)
    bring_up_to_date(endpoint.pk)
    assert [each.told["type"] for each in receiver.taken] == [TYPE, TYPE, "ping"]
    last = receiver.taken[-1]
    assert Webhook(endpoint.secret).verify(last.body, last.headers)


def test_a_new_secret_and_the_old_one_sign(organization, endpoint, receiver) -> None:
    changed = rotate_endpoint_secret(endpoint, by=SYSTEM)
    tell(organization)
    bring_up_to_date(endpoint.pk)
    (it,) = receiver.taken
    for secret in (endpoint.secret, changed.secret):
        assert Webhook(secret).verify(it.body, it.headers)


def test_addresses_within_are_not_reached(organization, endpoint, receiver, settings) -> None:
    settings.DELIVERY_NETWORKS = []
    tell(organization)
    bring_up_to_date(endpoint.pk)
    assert receiver.taken == []
    assert "not a public address" in DeliveryAttempt.objects.get().problem


def test_a_secret_that_cannot_be_read_is_a_failure(organization, endpoint, receiver) -> None:
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(sealed_secret="broken")
    tell(organization)
    bring_up_to_date(endpoint.pk)
    assert (receiver.taken, states(endpoint)) == ([], ["pending"])
    assert "cannot be read" in DeliveryAttempt.objects.get().problem
