"""Real clients of every protocol against the local server: replies, failures and their retries."""

import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from agents.runtime import portal
from agents.runtime.facts import Message, ModelRequest, Reply, Role, ToolDescription, Usage
from agents.runtime.llm import (
    MODEL_ERROR,
    Delta,
    ModelBusy,
    ModelError,
    UnknownModel,
    check_model_name,
    open_model,
)
from agents.runtime.spec import ModelSettings
from tests.model_server import Answer, ModelServer, refused_url

DEADLINE = 20
BASH = ToolDescription(
    "Bash",
    "Run a command.",
    {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
)


@pytest.fixture(scope="module", autouse=True)
def closed_portal():
    yield
    portal.close()


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("ANTHROPIC_BASE_URL", raising=False)


@pytest.fixture(scope="module")
def running_server():
    with ModelServer() as running:
        yield running


@pytest.fixture
def server(running_server):
    running_server.forget()
    return running_server


class Asker:
    """Opens one model at the server, and keeps the pieces that it streams."""

    def __init__(self, name, base_url):
        self.name = name
        self.base_url = base_url
        self.deltas = []

    def open(self, **settings):
        return open_model(self.name, ModelSettings(base_url=self.base_url, **settings))

    def submit(self, *messages, turn=1, system="Be kind.", **settings):
        request = ModelRequest(turn, system, messages, (BASH,))
        return portal.submit(self.open(**settings).reply(request, self.deltas.append))

    def ask(self, *messages, **more) -> Reply:
        return self.submit(*messages, **more).result(DEADLINE)

    def streamed(self, kind="text"):
        return "".join(delta.text for delta in self.deltas if delta.kind == kind)


NAMES = {
    "chat": "openai:some-model",
    "responses": "openai-responses:gpt-5-mini",
    "anthropic": "anthropic:claude-some-model",
}


@pytest.fixture(params=list(NAMES))
def asker(request, server):
    base_url = server.url if request.param == "anthropic" else server.openai_url
    return Asker(NAMES[request.param], base_url)


@pytest.fixture
def chat(server):
    return Asker(NAMES["chat"], server.openai_url)


@pytest.fixture
def claude(server):
    return Asker(NAMES["anthropic"], server.url)


def user(text="Hello, dear model"):
    return Message(Role.USER, text)


def result_of(call, output="done"):
    return Message(Role.TOOL_RESULT, output, call_id=call.call_id, tool_name=call.name)


# Replies


def test_the_text_streams_in_pieces_and_comes_back_whole(asker, server):
    reply = asker.ask(user())

    assert reply.text == "Hello, dear model"
    assert len(asker.deltas) > 1
    assert asker.streamed() == reply.text
    assert reply.model == asker.name.partition(":")[2]
    assert [asked.outcome for asked in server.requests] == ["answered"]


def test_the_usage_counts_cached_tokens(asker, server):
    server.plan(Answer(text="Yes.", input_tokens=90, output_tokens=7, cached_tokens=64))

    assert asker.ask(user()).usage == Usage(1, 90, 7, 64)


def test_parallel_tool_calls_come_as_requests_with_their_arguments(asker, server):
    server.plan(Answer(text="I look.", tools=(("Bash", {"command": "ls"}), ("Bash", {"n": 1}))))

    first, second = asker.ask(user()).tool_requests

    assert (first.name, first.arguments, first.problem) == ("Bash", {"command": "ls"}, "")
    assert second.arguments == {"n": 1}
    assert first.call_id != second.call_id


def test_a_tool_without_arguments_gets_an_empty_object(asker, server):
    server.plan(Answer(tools=(("Bash", ""),)))

    (call,) = asker.ask(user()).tool_requests

    assert (call.arguments, call.problem) == ({}, "")


@pytest.mark.parametrize("text", ['{"command": ', '["ls"]', '{"n": NaN}', "[" * 100_000])
def test_unusable_arguments_become_a_problem_and_the_run_goes_on(asker, server, text):
    server.plan(Answer(tools=(("Bash", text),)))

    reply = asker.ask(user())
    (call,) = reply.tool_requests

    assert call.arguments == {}
    assert call.problem
    assert asker.ask(user(), reply.as_message(), result_of(call), turn=2).text


def test_an_unknown_tool_passes_through_for_the_loop_to_refuse(asker, server):
    server.plan(Answer(tools=(("Teleport", {"to": "Mars"}),)))

    (call,) = asker.ask(user()).tool_requests

    assert (call.name, call.arguments, call.problem) == ("Teleport", {"to": "Mars"}, "")


def test_call_ids_that_the_conversation_used_before_are_made_new(asker, server):
    server.plan(*[Answer(tools=(("Bash", {}), ("Bash", {})), call_ids=("c0", "c0"))] * 2)

    first = asker.ask(user())
    results = [result_of(call) for call in first.tool_requests]
    second = asker.ask(user(), first.as_message(), *results, turn=2)
    calls = [*first.tool_requests, *second.tool_requests]

    assert len({call.call_id for call in calls}) == 4
    more = [result_of(call) for call in second.tool_requests]
    assert asker.ask(user(), first.as_message(), *results, second.as_message(), *more, turn=3)


def test_what_cannot_be_stored_is_replaced_everywhere(asker, server):
    server.plan(Answer(text="a\x00b", tools=(("Bash", '{"command": "c\\u0000\\ud800d"}'),)))

    reply = asker.ask(user())

    assert reply.text == asker.streamed() == "a\ufffdb"
    assert reply.tool_requests[0].arguments == {"command": "c\ufffd\ufffdd"}
    kept = [part for part in reply.raw["parts"] if part["part_kind"] == "text"]
    assert [part["content"] for part in kept] == ["a\ufffdb"]


# The history that the next request carries


def test_the_system_text_is_sent_once_and_consecutive_results_together(claude, server):
    server.plan(Answer(text="I look.", tools=(("Bash", {"n": 1}), ("Bash", {"n": 2}))))
    reply = claude.ask(user())
    results = [result_of(call, f"out {n}") for n, call in enumerate(reply.tool_requests)]
    claude.ask(Message(Role.SYSTEM, "Be kind."), user(), reply.as_message(), *results, turn=2)

    body = server.requests[-1].body
    _, _, last = body["messages"]
    assert body["system"] == "Be kind."
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert [block["content"][0]["text"] for block in last["content"]] == ["out 0", "out 1"]


def test_thinking_streams_apart_and_its_signature_survives_the_round_trip(claude, server):
    server.plan(Answer(thinking="Let me think.", text="I look.", tools=(("Bash", {}),)))
    reply = claude.ask(user())
    claude.ask(user(), reply.as_message(), result_of(reply.tool_requests[0]), turn=2)

    assert claude.streamed("thinking") == "Let me think."
    assert reply.text == "I look."
    thought = server.requests[-1].body["messages"][1]["content"][0]
    assert (thought["thinking"], thought["signature"]) == ("Let me think.", "signed-thought")


@pytest.mark.parametrize(
    "raw", [None, {"kind": "from another version"}, {"kind": "request", "parts": []}, 7]
)
def test_without_a_usable_raw_reply_the_neutral_one_is_sent(chat, server, raw):
    server.plan(Answer(text="I look.", tools=(("Bash", {"command": "ls"}),)))
    reply = chat.ask(user())
    (call,) = reply.tool_requests
    said = Message(Role.ASSISTANT, reply.text, tool_requests=(call,), raw=raw)
    chat.ask(user(), said, result_of(call), turn=2)

    sent = server.requests[-1].body["messages"][2]
    assert sent["content"] == "I look."
    assert sent["tool_calls"][0]["id"] == call.call_id
    assert sent["tool_calls"][0]["function"]["arguments"] == '{"command":"ls"}'


def test_settings_reach_the_provider(chat, server):
    chat.ask(user(), temperature=0.25, max_tokens=77)

    body = server.requests[-1].body
    assert body["temperature"] == 0.25
    assert 77 in (body.get("max_tokens"), body.get("max_completion_tokens"))


# Failures and retries


@pytest.mark.parametrize("cut", ["abort", "polite"])
def test_a_cut_stream_is_reset_and_asked_again(asker, server, cut):
    server.plan(Answer(text="one two three four", cut=cut), Answer(text="whole"))

    assert asker.ask(user()).text == "whole"
    kinds = [delta.kind for delta in asker.deltas]
    assert kinds.count("reset") == 1
    assert asker.deltas[kinds.index("reset") + 1 :] == [Delta("text", "whole")]
    assert kinds.index("reset") > 0, "some of the broken reply had streamed"
    assert [asked.outcome for asked in server.requests] == ["cut", "answered"]


def test_server_errors_are_retried_until_one_succeeds(asker, server):
    server.plan(Answer(status=500), Answer(status=529), Answer(text="at last"))

    assert asker.ask(user()).text == "at last"
    assert len(server.requests) == 3


def test_the_tries_end_and_the_error_says_what_the_provider_said(asker, server):
    server.plan(*[Answer(status=503, error={"message": "on fire"})] * 2)

    with pytest.raises(ModelError, match="503: on fire") as caught:
        asker.ask(user(), retries=1)

    assert caught.value.code == MODEL_ERROR
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_refused_request_is_not_tried_again(asker, server, status):
    server.plan(Answer(status=status))

    with pytest.raises(ModelError, match=f"{status}: told to fail"):
        asker.ask(user())

    assert len(server.requests) == 1


def test_a_spent_quota_is_not_waited_for(chat, server):
    server.plan(Answer(status=429, error={"message": "pay", "code": "insufficient_quota"}))

    with pytest.raises(ModelError, match="429: pay"):
        chat.ask(user())

    assert len(server.requests) == 1


def test_a_short_retry_after_is_waited_for_in_place(asker, server):
    server.plan(Answer(status=429, headers={"retry-after": "1"}))

    before = time.monotonic()
    assert asker.ask(user()).text

    assert time.monotonic() - before >= 1.0
    assert len(server.requests) == 2


def test_a_long_retry_after_is_handed_to_the_caller(asker, server):
    server.plan(Answer(status=429, headers={"retry-after": "60"}))

    with pytest.raises(ModelBusy) as caught:
        asker.ask(user())

    assert caught.value.retry_after == 60
    assert len(server.requests) == 1


def test_a_retry_after_may_be_a_date(asker, server):
    then = datetime.now(UTC) + timedelta(hours=1)
    server.plan(Answer(status=503, headers={"retry-after": format_datetime(then, usegmt=True)}))

    with pytest.raises(ModelBusy) as caught:
        asker.ask(user())

    assert 3590 < caught.value.retry_after <= 3600


@pytest.mark.parametrize("name", NAMES.values())
def test_a_refused_connection_is_retried_and_then_told(name):
    asker = Asker(name, refused_url())

    with pytest.raises(ModelError, match="connection failed"):
        asker.ask(user(), retries=1)

    assert asker.deltas == [Delta("reset")] * 2


@pytest.mark.parametrize("answer", [Answer(delay=30), Answer(text="one two three", pause=30)])
def test_silence_longer_than_the_timeout_is_an_error(asker, server, answer):
    server.plan(answer)

    with pytest.raises(ModelError, match=r"whole timeout|connection failed"):
        asker.ask(user(), timeout=0.3, retries=0)

    server.wait_for("disconnected")


def test_a_slow_stream_may_take_longer_than_the_timeout(asker, server):
    server.plan(Answer(text="a b c d e f g h i j", pause=0.1))

    assert asker.ask(user(), timeout=0.8, retries=0).text == "a b c d e f g h i j"


@pytest.mark.parametrize("answer", [Answer(delay=30), Answer(text="one two three", pause=30)])
def test_cancelling_the_future_ends_the_request(asker, server, answer):
    server.plan(answer)
    future = asker.submit(user())
    server.wait_for("open")

    future.cancel()

    server.wait_for("disconnected")


# One loop, shared clients


def test_concurrent_requests_share_one_loop_and_its_connections(asker, server):
    server.latency = 0.3
    for _ in range(2):
        futures = [asker.submit(user(f"number {number}")) for number in range(50)]
        texts = [future.result(DEADLINE) for future in futures]
        assert [reply.text for reply in texts] == [f"number {number}" for number in range(50)]

    assert len({asked.client_port for asked in server.requests}) <= 50
    assert sum(thread.name == "portal" for thread in threading.enumerate()) == 1


def test_a_client_is_never_carried_to_another_loop(asker):
    assert asker.ask(user()).text
    portal.close()
    assert asker.ask(user()).text


# Names and keys


@pytest.mark.parametrize(
    "name", ["", "gpt-5", "openai:", "openai: ", "nobody:x", "OpenAI:gpt-5", "scripted:nothing"]
)
def test_an_unknown_name_is_refused_with_the_valid_forms(name):
    with pytest.raises(UnknownModel, match=r"Valid (forms|scripts): .*scripted:"):
        check_model_name(name)
    with pytest.raises(UnknownModel):
        open_model(name, ModelSettings())


@pytest.mark.parametrize(
    "name", ["openai:gpt-5", "anthropic:claude", "openai-compatible:qwen3:8b", "scripted:echo"]
)
def test_a_known_name_is_accepted_without_a_key(name, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    check_model_name(name)


def test_checking_names_does_not_load_the_providers_libraries():
    code = (
        "import sys; from agents.runtime.llm import check_model_name; "
        "check_model_name('openai:x'); check_model_name('scripted:demo'); "
        "sys.exit('pydantic_ai' in sys.modules or 'openai' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["openai:x", "openai-responses:x", "anthropic:x"])
def test_a_missing_key_names_its_variable(name, monkeypatch):
    variable = "ANTHROPIC_API_KEY" if name.startswith("anthropic") else "OPENAI_API_KEY"
    monkeypatch.delenv(variable)

    with pytest.raises(ModelError, match=f"{variable} is not set"):
        open_model(name, ModelSettings())
    with pytest.raises(ModelError, match="TEAM_API_KEY is not set"):
        open_model(name, ModelSettings(api_key_env="TEAM_API_KEY"))


@pytest.mark.parametrize("variable", ["DJANGO_SECRET_KEY", "DATABASE_URL", "_API_KEY", "api_key"])
def test_only_a_variable_for_keys_may_be_named(variable, monkeypatch):
    monkeypatch.setenv(variable, "secret")

    with pytest.raises(ModelError, match="must end in _API_KEY"):
        open_model("openai:x", ModelSettings(api_key_env=variable))


def test_a_compatible_server_needs_no_key_and_never_gets_openais(server, monkeypatch):
    compatible = Asker("openai-compatible:qwen", server.openai_url)
    assert compatible.ask(user()).text
    assert "a-key" not in server.requests[-1].headers["authorization"]

    monkeypatch.setenv("TEAM_API_KEY", "teams-own")
    assert compatible.ask(user(), api_key_env="TEAM_API_KEY").text
    assert server.requests[-1].headers["authorization"] == "Bearer teams-own"

    with pytest.raises(ModelError, match="base_url or OPENAI_BASE_URL"):
        open_model("openai-compatible:qwen", ModelSettings())


def test_the_base_url_falls_back_to_the_environment(server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)

    assert Asker("openai:some-model", "").ask(user()).text
    assert Asker("anthropic:claude-some-model", "").ask(user()).text
    assert [asked.protocol for asked in server.requests] == ["chat", "anthropic"]


@pytest.mark.parametrize(
    ("provider", "key"),
    [("openai", ""), ("anthropic", ""), ("openai-compatible", "ANTHROPIC_API_KEY")],
)
def test_a_key_goes_only_to_addresses_that_the_server_trusts(monkeypatch, provider, key):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "secret")
    settings = ModelSettings(base_url="https://elsewhere.example/v1", api_key_env=key)
    with pytest.raises(ModelError, match="SIGNALBOX_MODEL_URLS"):
        open_model(f"{provider}:x", settings)
    monkeypatch.setenv("SIGNALBOX_MODEL_URLS", "https://one.example, https://elsewhere.example/v1/")
    open_model(f"{provider}:x", settings)
