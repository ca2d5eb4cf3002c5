"""Board memory and chat: kept, searched, told, and obeyed."""

import pytest
from django.db import connection

from agents.activity import SYSTEM, Actor
from agents.models import Activity, ActorKind, Agent, Message
from boards.actions import remember, seat_agent
from boards.actions.memory import CommandRefused
from boards.models import MemoryEntry
from boards.queries import about
from tests.factories import API, client_of, make_agent, make_board, make_organization

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization():
    return make_organization()


@pytest.fixture
def board(organization):
    return make_board(organization)


@pytest.fixture
def client(organization):
    return client_of(organization)


@pytest.fixture
def lead(organization, board):
    agent = make_agent(organization, name="Lea", slug="lea")
    seat_agent(board, agent, by=SYSTEM, role="lead")
    return agent


@pytest.fixture
def worker(organization, board):
    agent = make_agent(organization, name="Wim", slug="wim-1")
    seat_agent(board, agent, by=SYSTEM)
    return agent


def as_actor(agent):
    return Actor(ActorKind.AGENT, agent.id, agent.name)


def told():
    return set(Message.objects.filter(kind="chat").values_list("recipient_name", flat=True))


def test_something_is_remembered_and_forgotten(client, board):
    body = {"content": "Owls are counted at night.", "tags": ["Owls", "owls"], "source": "Ann"}
    response = client.post(f"{API}/boards/{board.id}/memory", body)
    assert response.status_code == 201, response.content
    entry = response.json()
    assert (entry["tags"], entry["is_chat"], entry["source"]) == (["owls"], False, "Ann")
    assert entry["author"]["kind"] == "key"
    place = response["Location"]
    assert client.get(place).json() == entry
    assert client.delete(place).status_code == 204
    assert client.get(place).status_code == 404
    types = Activity.objects.filter(type__startswith="memory.").order_by("id")
    assert [line.type for line in types] == ["memory.created", "memory.deleted"]
    assert not Message.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("content", ""),
        ("content", " \n"),
        ("content", "x" * 100_001),
        ("content", "\x00"),
        ("tags", [""]),
        ("tags", ["x" * 81]),
        ("tags", ["x"] * 21),
        ("source", "x" * 201),
        ("unheard_of", 1),
    ],
)
def test_a_wrong_field_is_422_and_named(client, board, field, value):
    response = client.post(f"{API}/boards/{board.id}/memory", {"content": "c", field: value})
    assert response.status_code == 422, response.content
    assert {error["field"].split("[")[0] for error in response.json()["errors"]} == {field}


def test_the_list_is_newest_first_and_filtered(client, board):
    remember(board, "Owls hunt at night.", by=SYSTEM, tags=["birds"])
    remember(board, "The barn is red.", by=SYSTEM)
    remember(board, "Night shift in the barn?", by=SYSTEM, tags=["chat"])
    remember(make_board(board.organization), "Owls elsewhere", by=SYSTEM)

    def found(query):
        page = client.get(f"{API}/boards/{board.id}/memory?{query}").json()["results"]
        return [entry["content"].split()[0] for entry in page]

    assert found("") == ["Night", "The", "Owls"]
    assert found("is_chat=true") == ["Night"]
    assert found("is_chat=false") == ["The", "Owls"]
    assert found("tag=Birds") == ["Owls"]
    assert found("q=owl") == ["Owls"]
    assert found("q=night -barn") == ["Owls"]
    assert found('q="night shift"') == ["Night"]
    assert found("q=hunting or red") == ["The", "Owls"]
    assert found("q='\"(:*%26!") in ([], ["Night", "The", "Owls"])
    assert client.get(f"{API}/boards/{board.id}/memory?q=").status_code == 422


def test_a_rare_word_is_found_by_the_index(board):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO boards_memoryentry (id, board_id, content, tags, source, is_chat,"
            " author_kind, author_name, created_at)"
            " SELECT gen_random_uuid(), %s, repeat('common words ', 100) || n, '{}', '',"
            " false, 'system', '', now() FROM generate_series(1, 20000) n",
            [board.id],
        )
        cursor.execute("ANALYZE boards_memoryentry")
    rows = about(MemoryEntry.objects.filter(board=board), "15000")
    assert "memory_words" in rows[:51].explain()
    assert len(rows) == 1


def test_chat_is_told_to_the_lead_and_whom_it_names_but_not_its_author(board, lead, worker):
    remember(board, "Hello @wim-1", by=SYSTEM, tags=["CHAT"])
    assert told() == {"Lea", "Wim"}
    Message.objects.all().delete()
    remember(board, "I am @lead, @lea and not @wim", by=as_actor(lead), tags=["chat"])
    assert told() == {"Wim"}
    Message.objects.all().delete()
    remember(board, "Not chat, @wim-1", by=SYSTEM)
    assert told() == set()


@pytest.mark.parametrize("command", ["/pause", " /PAUSE\n"])
def test_agents_are_paused_and_go_on_by_chat(client, board, lead, worker, command):
    elsewhere = make_agent(board.organization)
    place = f"{API}/boards/{board.id}/memory"
    assert client.post(place, {"content": command, "tags": ["chat"]}).status_code == 201
    paused = Agent.objects.filter(is_paused=True)
    assert set(paused) == {lead, worker}
    assert not Agent.objects.get(pk=elsewhere.pk).is_paused
    note = Activity.objects.get(type="board.agents_paused")
    assert set(note.data["agent_ids"]) == {str(lead.id), str(worker.id)}
    remember(board, "/resume", by=as_actor(lead), tags=["chat"])
    assert not paused.all().exists()
    assert Activity.objects.filter(type="board.agents_resumed").count() == 1


@pytest.mark.parametrize("content", ["/pause now", "please /pause", "pause", "/pausee"])
def test_only_the_word_itself_is_a_command(board, worker, content):
    remember(board, content, by=SYSTEM, tags=["chat"])
    remember(board, "/pause", by=SYSTEM)
    assert not Agent.objects.filter(is_paused=True).exists()


def test_a_worker_pauses_nobody(organization, board, lead, worker):
    main = make_agent(organization)
    for agent in (worker, main):
        with pytest.raises(CommandRefused):
            remember(board, "/pause", by=as_actor(agent), tags=["chat"])
    assert not Agent.objects.filter(is_paused=True).exists()
    assert not MemoryEntry.objects.exists()
