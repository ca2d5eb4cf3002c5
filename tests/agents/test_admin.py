"""The admin of organizations, people, credentials and agents."""

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse
from django.utils import timezone

from agents import actions
from agents.activity import SYSTEM
from agents.models import (
    Activity,
    Agent,
    AgentToken,
    Gateway,
    IntegrationKey,
    Membership,
    Role,
    User,
)
from agents.models.credentials import digest
from tests.factories import (
    counted_queries,
    make_agent,
    make_key,
    make_live_work,
    make_member,
    make_organization,
    make_user,
)

pytestmark = pytest.mark.django_db
EMPTY_ROWS = {"TOTAL_FORMS": "0", "INITIAL_FORMS": "0"}


@pytest.fixture
def person():
    return User.objects.create_superuser(username="root")


@pytest.fixture
def admin(client, person):
    client.force_login(person)
    return client


@pytest.fixture
def organization():
    return make_organization()


def page(model, view="changelist", *of):
    return reverse(f"admin:{model}_{view}", args=of)


def rows_below(*prefixes):
    return {f"{prefix}-{name}": value for prefix in prefixes for name, value in EMPTY_ROWS.items()}


def said(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def agent_form(organization, **fields):
    given = {"organization": organization.id, "name": "Owl", "kind": "react"}
    texts = {"model_settings": "{}", "actions": "{}", "tools": "null", "max_concurrency": "1"}
    return {**given, **texts, **fields}


@pytest.mark.parametrize(
    "model",
    ["organization", "membership", "user", "integrationkey", "agenttoken", "agent", "soulversion"],
)
def test_pages_of_a_model_load(admin, organization, person, model):
    agent = make_agent(organization, soul="x", model="scripted:echo")
    actions.create_token(agent, by=SYSTEM)
    make_key(organization)
    make_member(organization)
    row = {
        "organization": organization,
        "membership": Membership.objects.first(),
        "user": person,
        "integrationkey": IntegrationKey.objects.first(),
        "agenttoken": AgentToken.objects.first(),
        "agent": agent,
        "soulversion": agent.soul_versions.first(),
    }[model]
    assert admin.get(page(f"agents_{model}") + "?q=a").status_code == 200
    assert admin.get(page(f"agents_{model}", "change", row.pk)).status_code == 200
    may_add = model != "soulversion"
    status = admin.get(page(f"agents_{model}", "add")).status_code
    assert status == (200 if may_add else 403)


@pytest.mark.parametrize("model", ["activity", "livework", "idempotencykey", "soulversion"])
def test_what_is_a_record_cannot_be_written(admin, organization, model):
    agent = make_agent(organization, soul="x")
    make_live_work(agent)
    assert admin.get(page(f"agents_{model}")).status_code == 200
    assert admin.get(page(f"agents_{model}", "add")).status_code == 403
    if model == "activity":
        line = Activity.objects.first()
        assert admin.get(page("agents_activity", "change", line.pk)).status_code == 200
        assert admin.post(page("agents_activity", "change", line.pk), {}).status_code == 403
        assert admin.post(page("agents_activity", "delete", line.pk), {}).status_code == 403


def test_groups_are_there_too(admin):
    assert admin.get(page("auth_group")).status_code == 200
    assert admin.get(page("auth_group", "add")).status_code == 200


def test_an_agent_is_created_by_the_action(admin, organization):
    response = admin.post(page("agents_agent", "add"), agent_form(organization, soul="Be kind."))
    assert response.status_code == 302, response.context["errors"]
    agent = Agent.objects.get()
    assert (agent.slug, agent.soul, agent.model_settings) == ("owl", "Be kind.", {})
    types = Activity.objects.filter(agent_id=agent.id, actor_name="root")
    assert [line.type for line in types] == ["agent.soul_written", "agent.created"]


def test_a_changed_soul_is_the_next_version(admin, organization):
    agent = make_agent(organization, name="Owl", soul="one")
    form = agent_form(organization, slug="owl", soul="two")
    form |= rows_below("soul_versions", "tokens")
    response = admin.post(page("agents_agent", "change", agent.pk), form)
    assert response.status_code == 302, response.context["errors"]
    assert [soul.content for soul in agent.soul_versions.all()] == ["two", "one"]
    assert not Activity.objects.filter(type="agent.updated").exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [("model", "nonsense"), ("tools", '["a", "a"]'), ("actions", '{"a": {}}'), ("slug", "0" * 32)],
)
def test_a_wrong_field_is_an_error_beside_it(admin, organization, field, value):
    form = agent_form(organization, **{field: value})
    response = admin.post(page("agents_agent", "add"), form)
    assert response.status_code == 200
    assert field in response.context["adminform"].form.errors


def test_a_refusal_is_a_message_and_nothing_is_saved(admin, organization):
    form = agent_form(organization, tools='["Fly"]')
    response = admin.post(page("agents_agent", "add"), form)
    assert said(response) == ["There is no tool of that name."]
    assert not Agent.objects.exists()
    agent = make_agent(organization, name="Owl", tools=["Read"])
    make_live_work(agent)
    form = agent_form(organization, slug="owl") | rows_below("soul_versions", "tokens")
    response = admin.post(page("agents_agent", "change", agent.pk), form)
    assert "live execution" in said(response)[-1]
    response = admin.post(page("agents_agent", "delete", agent.pk), {"post": "yes"})
    assert "live execution" in said(response)[-1]
    assert Agent.objects.get().tools == ["Read"]


def test_agents_are_deleted_by_the_action(admin, organization):
    agent = make_agent(organization, soul="x")
    actions.create_token(agent, by=SYSTEM)
    assert admin.get(page("agents_agent", "delete", agent.pk)).status_code == 200
    admin.post(page("agents_agent", "delete", agent.pk), {"post": "yes"})
    assert not Agent.objects.exists()
    assert Activity.objects.filter(type="agent.deleted").count() == 1


def _act(admin, model, name, *rows):
    form = {"action": name, "_selected_action": [row.pk for row in rows]}
    return admin.post(page(model), form)


def test_rotating_shows_the_token_once(admin, organization):
    agent = make_agent(organization)
    response = _act(admin, "agents_agent", "rotate_token", agent)
    secret = said(response)[0].rpartition(" ")[2]
    token = AgentToken.objects.get()
    assert token.digest == digest(secret.split("_", 2)[2])
    admin.get(page("agents_agent"))
    for path in (page("agents_agenttoken"), page("agents_agenttoken", "change", token.pk)):
        shown = admin.get(path).content.decode()
        assert token.prefix in shown
        assert secret not in shown
        assert token.digest not in shown


def test_a_key_is_created_shown_once_and_revoked(admin, organization):
    form = {"organization": organization.id, "name": "CI", "role": "viewer", "scopes": ["read"]}
    response = admin.post(page("agents_integrationkey", "add"), form)
    assert response.status_code == 302, response.context["errors"]
    assert said(response)[0].rpartition(" ")[2].startswith("sbk_")
    key = IntegrationKey.objects.get()
    assert (key.role, key.scopes) == ("viewer", ["read"])
    for _ in range(2):
        _act(admin, "agents_integrationkey", "revoke", key)
    assert Activity.objects.filter(type="key.revoked").count() == 1


def test_agents_are_paused_and_go_on(admin, organization):
    agents = [make_agent(organization) for _ in range(2)]
    _act(admin, "agents_agent", "pause", *agents)
    assert Agent.objects.filter(is_paused=True).count() == 2
    _act(admin, "agents_agent", "unpause", *agents)
    assert Agent.objects.filter(is_paused=True).count() == 0


def test_who_founds_an_organization_in_the_admin_owns_it(admin, person):
    admin.post(page("agents_organization", "add"), {"name": "Night Watch"})
    member = Membership.objects.get()
    assert (member.user, member.role) == (person, Role.OWNER)


def test_members_are_written_below_their_organization(admin, organization):
    owner, leaver, joiner = make_member(organization), make_member(organization), make_user()
    prefix = "memberships"
    form = {
        "name": organization.name,
        "slug": organization.slug,
        f"{prefix}-TOTAL_FORMS": "3",
        f"{prefix}-INITIAL_FORMS": "2",
    }
    rows = [(owner, owner.user, "owner"), (leaver, leaver.user, "owner"), (None, joiner, "viewer")]
    for number, (member, user, role) in enumerate(rows):
        form[f"{prefix}-{number}-id"] = member.id if member else ""
        form[f"{prefix}-{number}-organization"] = organization.id
        form[f"{prefix}-{number}-user"] = user.id
        form[f"{prefix}-{number}-role"] = role
    form[f"{prefix}-1-DELETE"] = "on"
    response = admin.post(page("agents_organization", "change", organization.pk), form)
    assert response.status_code == 302, response.context["errors"]
    roles = set(organization.memberships.values_list("user", "role"))
    assert roles == {(owner.user_id, "owner"), (joiner.id, "viewer")}
    types = list(Activity.objects.values_list("type", flat=True))
    assert types == ["member.added", "member.removed"]


def test_the_last_owner_stays_in_the_admin_too(admin, organization):
    member = make_member(organization)
    change = page("agents_membership", "change", member.pk)
    assert "at least one owner" in said(admin.post(change, {"role": "viewer"}))[0]
    delete = page("agents_membership", "delete", member.pk)
    assert "at least one owner" in said(admin.post(delete, {"post": "yes"}))[-1]
    assert Membership.objects.get().role == Role.OWNER
    assert admin.get(page("agents_user", "delete", member.user.pk)).status_code == 403


def test_staff_without_the_permission_writes_nothing(client, organization):
    client.force_login(make_user(is_staff=True))
    assert client.get(page("agents_agent")).status_code == 403
    assert client.post(page("agents_agent", "add"), agent_form(organization)).status_code == 403


@pytest.mark.parametrize(
    ("model", "make"),
    [
        ("agents_agent", make_agent),
        ("agents_activity", make_agent),
        ("agents_membership", make_member),
        ("agents_integrationkey", make_key),
        ("agents_soulversion", lambda of: make_agent(of, soul="x")),
        ("agents_livework", lambda of: make_live_work(make_agent(of))),
    ],
)
def test_a_list_costs_the_same_for_more_rows(admin, organization, model, make):
    costs = []
    for _ in range(2):
        for _ in range(10):
            make(organization)
        with counted_queries() as queries:
            assert admin.get(page(model)).status_code == 200
        costs.append(len(queries))
        counts = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
        assert all("LIMIT 10000" in sql for sql in counts), counts
    assert costs[1] <= costs[0]


def test_a_list_shows_who_is_online_and_offers_all_only_where_it_hides_some(admin, organization):
    wim = make_agent(organization, name="Wim", kind="external")
    Agent.objects.filter(pk=wim.pk).update(last_seen_at=timezone.now())
    everything = admin.get(page("agents_agent")).content.decode()
    assert "Online" in everything
    assert "Show all" not in everything
    assert "Show all" in admin.get(page("agents_agent") + "?q=wim").content.decode()


def test_a_webhook_gateway_shows_its_secret_once_and_says_whether_it_answers(admin, organization):
    form = {
        "organization": organization.pk,
        "name": "Hook",
        "kind": "webhook",
        "url": "http://127.0.0.1:9/",
        "is_enabled": "on",
    }
    made = admin.post(page("agents_gateway", "add"), form, follow=True)
    gateway = Gateway.objects.get()
    assert any("whsec_" in words for words in said(made))
    opened = admin.get(page("agents_gateway", "change", gateway.pk)).content.decode()
    assert "whsec_" not in opened
    checked = _act(admin, "agents_gateway", "check_answers", gateway)
    assert "not a public address" in said(checked)[-1]
    changed = _act(admin, "agents_gateway", "change_secret", gateway)
    assert any("whsec_" in words for words in said(changed))
    wrong = admin.post(page("agents_gateway", "change", gateway.pk), {**form, "url": "ftp://x"})
    assert "Only http and https" in wrong.content.decode()
