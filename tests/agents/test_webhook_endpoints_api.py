"""Webhook endpoints of an organization: who manages them, and what of them is shown."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.db.models import F
from django.utils import timezone

from agents.actions import endpoints, ping
from agents.activity import SYSTEM
from agents.models import (
    Activity,
    Delivery,
    DeliveryAttempt,
    DeliveryState,
    Role,
    WebhookEndpoint,
)
from agents.sealing import unseal
from tests.factories import (
    API,
    all_at_once,
    client_of,
    counted_queries,
    make_endpoint,
    make_organization,
)

pytestmark = pytest.mark.django_db
PLACE = f"{API}/webhook-endpoints"
WANTED = {
    "name": "Owls",
    "url": "https://owls.example/hook",
    "types": ["execution.*", "task.created"],
}


@pytest.fixture
def organization():
    return make_organization()


@pytest.fixture
def client(organization):
    return client_of(organization)


@pytest.fixture
def endpoint(organization):
    return make_endpoint(organization)


def deliveries_of(endpoint, suffix=""):
    return f"{PLACE}/{endpoint.id}/deliveries{suffix}"


def test_an_endpoint_is_created_changed_and_deleted(client) -> None:
    made = client.post(PLACE, WANTED)
    assert made.status_code == 201, made.content
    secret = made.json().pop("secret")
    assert secret.startswith("whsec_")
    shown = {name: value for name, value in made.json().items() if name != "secret"}
    place = made["Location"]
    assert client.get(place).json() == shown
    assert client.get(PLACE).json()["results"] == [shown]
    row = WebhookEndpoint.objects.get()
    assert secret not in row.sealed_secret
    assert unseal(row.sealed_secret) == secret
    changed = client.patch(place, {"is_enabled": False, "types": ["*"]}).json()
    assert (changed["is_enabled"], changed["types"]) == (False, ["*"])
    assert client.get(PLACE, {"is_enabled": "true"}).json()["results"] == []
    assert client.delete(place).status_code == 204
    lines = Activity.objects.filter(type__startswith="webhook_endpoint").order_by("id")
    assert [line.type.split(".")[1] for line in lines] == ["created", "updated", "deleted"]
    assert secret not in json.dumps([line.data for line in lines])


def test_the_secret_is_changed_and_shown_once(client, endpoint) -> None:
    answer = client.post(
        f"{PLACE}/{endpoint.id}/rotate-secret", headers={"Idempotency-Key": "once"}
    )
    assert answer.status_code == 200, answer.content
    endpoint.refresh_from_db()
    assert unseal(endpoint.sealed_secret) == answer.json()["secret"] != endpoint.secret
    assert unseal(endpoint.sealed_previous_secret) == endpoint.secret
    again = client.post(f"{PLACE}/{endpoint.id}/rotate-secret", headers={"Idempotency-Key": "once"})
    assert "secret" not in again.json()
    assert "secret" not in client.get(f"{PLACE}/{endpoint.id}").json()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "ftp://owls.example"),
        ("url", "https://user:word@owls.example"),
        ("url", "owls"),
        ("types", []),
        ("types", ["owl.*"]),
        ("types", ["task.create?"]),
        ("types", "task.created"),
        ("types", [1]),
        ("types", ["*"] * 51),
        ("name", ""),
    ],
)
def test_what_cannot_be_meant_is_refused(client, field, value) -> None:
    answer = client.post(PLACE, {**WANTED, field: value})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_only_admins_manage_endpoints(organization, endpoint, role) -> None:
    client = client_of(organization, role)
    delivery = ping(endpoint, by=SYSTEM)
    for path in (
        PLACE,
        *(
            f"{PLACE}/{endpoint.id}/{name}"
            for name in ("rotate-secret", "ping", "redeliver-failed")
        ),
        deliveries_of(endpoint, f"/{delivery.id}/redeliver"),
        deliveries_of(endpoint, f"/{delivery.id}/give-up"),
    ):
        answer = client.post(path, WANTED if path == PLACE else {})
        assert (answer.status_code, answer.json()["code"]) == (403, "ROLE_TOO_LOW"), path
    assert client.get(deliveries_of(endpoint)).status_code == 200


def test_what_is_another_organizations_is_not_there(organization, client, endpoint) -> None:
    foreign = make_endpoint(make_organization())
    delivery = ping(foreign, by=SYSTEM)
    assert client.get(f"{PLACE}/{foreign.id}").status_code == 404
    assert client.patch(f"{PLACE}/{foreign.id}", {"name": "Mine"}).status_code == 404
    assert client.delete(f"{PLACE}/{foreign.id}").status_code == 404
    assert client.get(deliveries_of(foreign)).status_code == 404
    for name in ("rotate-secret", "ping", "redeliver-failed"):
        assert client.post(f"{PLACE}/{foreign.id}/{name}", {}).status_code == 404
    for of in (foreign, endpoint):
        for suffix in ("/redeliver", "/give-up"):
            path = deliveries_of(of, f"/{delivery.id}{suffix}")
            assert client.post(path).status_code == 404
        assert client.get(deliveries_of(of, f"/{delivery.id}")).status_code == 404
    assert client.get(f"{PLACE}/owls/deliveries").status_code == 404


def test_deliveries_are_listed_filtered_and_read(client, endpoint) -> None:
    made = [ping(endpoint, by=SYSTEM) for _ in range(3)]
    Delivery.objects.filter(pk=made[0].pk).update(state=DeliveryState.FAILED)
    DeliveryAttempt.objects.create(
        delivery=made[0], number=1, status=500, problem="It answered 500.", milliseconds=12
    )
    first = client.get(deliveries_of(endpoint), {"limit": 2}).json()
    assert [each["id"] for each in first["results"]] == [str(made[2].id), str(made[1].id)]
    rest = client.get(first["next"]).json()
    assert [each["id"] for each in rest["results"]] == [str(made[0].id)]
    failed = client.get(deliveries_of(endpoint), {"state": "failed,delivered"}).json()["results"]
    assert [each["id"] for each in failed] == [str(made[0].id)]
    assert client.get(deliveries_of(endpoint), {"type": "task.created"}).json()["results"] == []
    assert client.get(deliveries_of(endpoint), {"state": "odd"}).status_code == 422
    one = client.get(deliveries_of(endpoint, f"/{made[0].id}")).json()
    (attempt,) = one["tries"]
    assert (attempt["status"], attempt["problem"]) == (500, "It answered 500.")


def test_a_list_asks_as_much_whatever_its_length(client, endpoint) -> None:
    def asked() -> int:
        with counted_queries() as queries:
            assert client.get(deliveries_of(endpoint)).status_code == 200
        return len(queries)

    ping(endpoint, by=SYSTEM)
    asked()  # It notes that the key is used.
    few = asked()
    for _ in range(5):
        ping(endpoint, by=SYSTEM)
    assert asked() == few


def test_a_delivery_is_sent_again_or_given_up(client, endpoint) -> None:
    asked = client.post(f"{PLACE}/{endpoint.id}/ping")
    assert (asked.status_code, asked.json()["type"]) == (202, "ping")
    place = deliveries_of(endpoint, f"/{asked.json()['id']}")
    refused = client.post(f"{place}/redeliver")
    assert (refused.status_code, refused.json()["code"]) == (409, "DELIVERY_PENDING")
    assert client.post(f"{place}/give-up").json()["state"] == "failed"
    refused = client.post(f"{place}/give-up")
    assert (refused.status_code, refused.json()["code"]) == (409, "DELIVERY_NOT_PENDING")
    again = client.post(f"{place}/redeliver")
    assert (again.status_code, again.json()["state"]) == (202, "pending")


def test_what_failed_since_is_sent_again(client, endpoint) -> None:
    rows = [ping(endpoint, by=SYSTEM) for _ in range(4)]
    Delivery.objects.filter(endpoint=endpoint).update(state=DeliveryState.FAILED)
    Delivery.objects.filter(pk=rows[0].pk).update(created_at=F("created_at") - timedelta(days=2))
    Delivery.objects.filter(pk=rows[1].pk).update(state=DeliveryState.DELIVERED)
    other = ping(make_endpoint(endpoint.organization), by=SYSTEM)
    Delivery.objects.filter(pk=other.pk).update(state=DeliveryState.FAILED)
    since = (timezone.now() - timedelta(days=1)).isoformat()
    path = f"{PLACE}/{endpoint.id}/redeliver-failed"
    answer = client.post(path, {"since": since})
    assert (answer.status_code, answer.json()) == (202, {"redelivered": 2})
    assert client.post(path, {}).json() == {"redelivered": 1}
    states = Delivery.objects.order_by("id").values_list("state", flat=True)
    assert list(states) == ["pending", "delivered", "pending", "pending", "failed"]


def test_nothing_is_sent_to_what_is_switched_off(client, endpoint) -> None:
    delivery = ping(endpoint, by=SYSTEM)
    WebhookEndpoint.objects.update(is_enabled=False)
    for path in (
        f"{PLACE}/{endpoint.id}/ping",
        f"{PLACE}/{endpoint.id}/redeliver-failed",
        deliveries_of(endpoint, f"/{delivery.id}/redeliver"),
    ):
        answer = client.post(path, {})
        assert (answer.status_code, answer.json()["code"]) == (409, "ENDPOINT_DISABLED")


def test_a_change_holds_only_for_the_version_that_was_read(client, endpoint) -> None:
    place = f"{PLACE}/{endpoint.id}"
    tag = client.get(place)["ETag"]
    assert client.patch(place, {"name": "A"}, headers={"If-Match": tag}).status_code == 200
    assert client.patch(place, {"name": "B"}, headers={"If-Match": tag}).status_code == 412


def test_an_organization_has_a_bounded_number(client, organization, endpoint, monkeypatch) -> None:
    monkeypatch.setattr(endpoints, "MOST_ENDPOINTS", 1)
    answer = client.post(PLACE, WANTED)
    assert (answer.status_code, answer.json()["code"]) == (409, "TOO_MANY_ENDPOINTS")


@pytest.mark.django_db(transaction=True)
def test_the_bound_holds_for_two_at_once(organization, monkeypatch) -> None:
    monkeypatch.setattr(endpoints, "MOST_ENDPOINTS", 1)
    found = all_at_once(*[lambda: make_endpoint(organization)] * 4)
    assert sum(isinstance(each, endpoints.TooManyEndpoints) for each in found) == 3
    assert WebhookEndpoint.objects.count() == 1


def test_the_database_keeps_states_known(endpoint) -> None:
    delivery = ping(endpoint, by=SYSTEM)
    with pytest.raises(IntegrityError, match="delivery_state"):
        Delivery.objects.filter(pk=delivery.pk).update(state="odd")


def test_the_database_keeps_an_enabled_one_without_a_reason(endpoint) -> None:
    with pytest.raises(IntegrityError, match="an_enabled_endpoint_has_no_reason"):
        WebhookEndpoint.objects.update(disabled_because="gone")


def test_the_admin_shows_secrets_once_and_acts(admin_client, organization) -> None:
    page = "/admin/agents/webhookendpoint/"
    fields = {
        "organization": str(organization.id),
        "name": "Owls",
        "url": "https://owls.example/hook",
        "types": '["task.*"]',
        "is_enabled": "on",
    }
    made = admin_client.post(f"{page}add/", fields, follow=True)
    assert "whsec_" in made.content.decode()
    row = WebhookEndpoint.objects.get()
    assert "whsec_" not in admin_client.get(f"{page}{row.pk}/change/").content.decode()
    refused = admin_client.post(f"{page}add/", {**fields, "types": '["owl.*"]'})
    assert "No line of the record has the type" in refused.content.decode()

    def act(place: str, action: str, key: object) -> str:
        asked = {"action": action, "_selected_action": [str(key)]}
        return admin_client.post(place, asked, follow=True).content.decode()

    act(page, "send_ping", row.pk)
    delivery = Delivery.objects.get()
    shown = "/admin/agents/delivery/"
    DeliveryAttempt.objects.create(delivery=delivery, number=1)
    assert admin_client.get(f"{shown}{delivery.pk}/change/").status_code == 200
    assert admin_client.get("/admin/agents/deliveryattempt/").status_code == 200
    act(shown, "give_up", delivery.pk)
    act(page, "send_failed_again", row.pk)
    delivery.refresh_from_db()
    assert delivery.state == DeliveryState.PENDING
    act(shown, "give_up", delivery.pk)
    act(shown, "send_again", delivery.pk)
    delivery.refresh_from_db()
    assert delivery.state == DeliveryState.PENDING
    assert "whsec_" in act(page, "change_secret", row.pk)
    WebhookEndpoint.objects.update(is_enabled=False, disabled_because="gone")
    act(page, "enable", row.pk)
    row.refresh_from_db()
    assert (row.is_enabled, row.disabled_because) == (True, "")
