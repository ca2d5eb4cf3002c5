"""Scripted models: they play the same turn for the same conversation, here and over HTTP."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import validate

from agents.runtime import portal
from agents.runtime.facts import Message, ModelRequest, Role, Usage
from agents.runtime.llm import Delta, ModelError, UnknownModel, check_model_name, open_model
from agents.runtime.scripted import Turn, register_script
from agents.runtime.spec import ModelSettings
from agents.runtime.tools import files
from tests.model_server import ModelServer

SCRIPT = {
    "turns": [
        {"say": "First I look.", "tools": [{"name": "Bash", "input": {"command": "ls"}}]},
        {
            "tools": [
                {"name": "Read", "input": {"path": "a{b}.txt"}},
                {"name": "Bash", "input": {"command": "echo 'ä'"}},
            ],
            "tokens": 40,
        },
        {"say": "All is well."},
    ]
}


@pytest.fixture(scope="module", autouse=True)
def closed_portal():
    yield
    portal.close()


def request(*messages, system=""):
    turn = 1 + sum(message.role is Role.ASSISTANT for message in messages)
    return ModelRequest(turn, system, messages)


def ask(model, *messages, system="", on_delta=lambda _: None):
    return portal.submit(model.reply(request(*messages, system=system), on_delta)).result(20)


def scripted(name):
    return open_model(f"scripted:{name}", ModelSettings())


def user(text):
    return Message(Role.USER, text)


def played(model, prompt, *, carry_out=lambda call: f"did {call.name}", turns=9):
    """Ask until a reply calls no tool; return the replies and the messages."""
    messages, replies = [user(prompt)], []
    while len(replies) < turns:
        replies.append(ask(model, *messages))
        messages.append(replies[-1].as_message())
        calls = replies[-1].tool_requests
        if not calls:
            break
        messages += [
            Message(Role.TOOL_RESULT, carry_out(call), call_id=call.call_id, tool_name=call.name)
            for call in calls
        ]
    return replies, messages


def seen(replies):
    return [
        (reply.text, [(call.name, dict(call.arguments)) for call in reply.tool_requests])
        for reply in replies
    ]


@pytest.mark.parametrize(
    "prompt",
    [
        json.dumps(SCRIPT),
        f"Please {{do}} this {{'now'}}:\n```json\n{json.dumps(SCRIPT, indent=2)}\n```\nThanks {{}}",
        f'{{"turns": 3}} is no script, but {json.dumps({"more": 1, **SCRIPT})} is',
    ],
)
def test_play_finds_the_script_anywhere_in_the_first_user_message(prompt):
    replies, _ = played(scripted("play"), prompt)

    assert seen(replies) == [
        ("First I look.", [("Bash", {"command": "ls"})]),
        ("", [("Read", {"path": "a{b}.txt"}), ("Bash", {"command": "echo 'ä'"})]),
        ("All is well.", []),
    ]


def test_the_same_script_plays_alike_over_http(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key")
    expected, _ = played(scripted("play"), json.dumps(SCRIPT))
    with ModelServer() as server:
        for name, base_url in [
            ("openai:some-model", server.openai_url),
            ("openai-responses:some-model", server.openai_url),
            ("anthropic:claude-some-model", server.url),
        ]:
            model = open_model(name, ModelSettings(base_url=base_url))
            replies, _ = played(model, json.dumps(SCRIPT))
            assert seen(replies) == seen(expected), name
            assert replies[1].usage.output_tokens == 40
        digests = [asked.digest for asked in server.requests]
        assert len(set(digests)) == len(digests) == 9


def test_a_resumed_conversation_hears_the_same_turn_with_the_same_call_ids():
    model = scripted("play")
    replies, messages = played(model, json.dumps(SCRIPT))

    noted = [messages[0], user("a note of the engine's"), *messages[1:3]]
    assert ask(scripted("play"), *noted).tool_requests == replies[1].tool_requests
    ids = [call.call_id for reply in replies for call in reply.tool_requests]
    assert len(set(ids)) == len(ids) == 3


def test_beyond_the_script_comes_a_plain_final_answer():
    replies, messages = played(scripted("play"), json.dumps(SCRIPT))
    reply = ask(scripted("play"), *messages, user("and now?"))

    assert reply.text == "The script is played: 3 turns."
    assert reply.tool_requests == ()
    assert replies[0].model == reply.model == "scripted:play"


def test_a_turn_can_fail_with_a_code():
    with pytest.raises(ModelError, match="the script fails here") as caught:
        ask(scripted("play"), user('{"turns": [{"say": "oh", "fail": "MODEL_ERROR"}]}'))

    assert caught.value.code == "MODEL_ERROR"


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("Do something.", "holds no JSON object"),
        ('{"turns": [{}, {"tools": [{"input": {}}]}]}', "turn 2 of the script cannot be read"),
        ('{"turns": [{"delay": "long"}]}', "turn 1 of the script cannot be read"),
        ('{"turns": [7]}', "turn 1 of the script cannot be read"),
    ],
)
def test_a_missing_or_broken_script_is_told(prompt, said):
    with pytest.raises(ModelError, match=said):
        ask(scripted("play"), user(prompt))


def test_the_words_stream_one_by_one_and_are_counted():
    deltas = []
    reply = ask(scripted("echo"), user("one two  three"), system="be kind", on_delta=deltas.append)

    assert [delta.text for delta in deltas] == ["one", " two", " ", " three"]
    assert reply.text == "one two  three"
    assert reply.usage == Usage(1, 5, 3)


def test_echo_answers_what_was_said_last():
    first = ask(scripted("echo"), user("one"))
    second = ask(scripted("echo"), user("one"), first.as_message(), user("two"))

    assert (first.text, second.text, second.model) == ("one", "two", "scripted:echo")


@pytest.mark.parametrize("say", ["", "some words to say"])
def test_a_delay_waits_on_the_loop_without_blocking_it(say):
    script = json.dumps({"turns": [{"say": say, "delay": 0.3}]})

    async def many():
        model = scripted("play")
        ours = request(user(script))
        started = asyncio.get_running_loop().time()
        await asyncio.gather(*(model.reply(ours, lambda _: None) for _ in range(50)))
        return asyncio.get_running_loop().time() - started

    assert 0.3 <= portal.submit(many()).result(20) < 3


def test_a_registered_script_can_be_opened_and_its_name_is_taken():
    def shout(asked: ModelRequest) -> Turn:
        return Turn(say=asked.messages[0].content.upper())

    register_script("test-shout", shout)

    check_model_name("scripted:test-shout")
    assert ask(scripted("test-shout"), user("hi")).text == "HI"
    with pytest.raises(ValueError, match="registered already"):
        register_script("test-shout", shout)


def test_an_unknown_script_names_those_there_are():
    with pytest.raises(UnknownModel, match="scripted:demo, scripted:echo, scripted:play"):
        open_model("scripted:nothing", ModelSettings())


# The demonstration


TEST_FILE = """import unittest
from greeting import greet

class GreetingTest(unittest.TestCase):
    def test_greets_by_name(self):
        self.assertEqual(greet("Ada"), "Hello, Ada!")
"""


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "greeting.py").write_text('def greet(name):\n    return f"Helo, {name}!"\n')
    (tmp_path / "test_greeting.py").write_text(TEST_FILE)
    (tmp_path / "greeting.py.orig").write_text("Left behind.")
    return tmp_path


def carry_out_in(folder: Path):
    def carry_out(call):
        given = call.arguments
        if given.get("command", "").startswith("git push"):
            return "denied"
        if call.name == "Bash":
            command = given["command"].replace("python3", sys.executable, 1).split()
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            return done.stdout + done.stderr
        if call.name not in ("Read", "Edit"):
            return "done"
        kind = {"Read": files.Read, "Edit": files.Edit}[call.name]
        validate(dict(given), kind.parameters)
        file = folder / given["path"]
        if call.name == "Edit":
            file.write_text(file.read_text().replace(given["old_string"], given["new_string"]))
        return file.read_text()

    return carry_out


def test_the_demonstration_mends_the_greeting_and_quotes_the_test(repository):
    replies, messages = played(
        scripted("demo"), "Mend the greeting.", carry_out=carry_out_in(repository)
    )

    called = [call.name for reply in replies for call in reply.tool_requests]
    assert called == [
        "TodoWrite",
        "Read",
        "Bash",
        "Edit",
        "Bash",
        "WebFetch",
        "Bash",
        "Bash",
        "TodoWrite",
        "agent_board_memory_record",
    ]
    assert not (repository / "greeting.py.orig").exists()
    assert "scripted model" in replies[0].text
    outputs = [message.content for message in messages if message.tool_name == "Bash"]
    assert "FAILED" in outputs[0]
    assert "Hello, {name}" in (repository / "greeting.py").read_text()
    assert "passes now" in replies[-1].text
    assert outputs[1].strip() in replies[-1].text


def test_the_demonstration_does_not_claim_a_success_that_it_did_not_have(repository):
    (repository / "test_greeting.py").write_text(TEST_FILE.replace("Hello", "Good day"))
    replies, messages = played(scripted("demo"), "Mend it.", carry_out=carry_out_in(repository))

    assert "does not pass" in replies[-1].text
    assert "FAILED" in replies[-1].text

    asked = [*messages, user("Say it in the README.")]
    again = ask(scripted("demo"), *asked)
    assert [call.name for call in again.tool_requests] == ["Write"]
    asked += [again.as_message(), ask(scripted("demo"), *asked, again.as_message()).as_message()]
    assert "README.md" in asked[-1].content
    later = ask(scripted("demo"), *asked, user("Say good day instead."))
    assert "cannot act on feedback" in later.text
    assert "Say good day instead." in later.text


@pytest.mark.parametrize(
    "question", ["Say what greeting.py does.", "What does this repository do?"]
)
def test_the_demonstration_answers_a_question_and_changes_nothing(repository, question):
    before = (repository / "greeting.py").read_text()
    replies, _ = played(scripted("demo"), question, carry_out=carry_out_in(repository))
    assert [call.name for reply in replies for call in reply.tool_requests] == ["Read"]
    assert "scripted model" in replies[-1].text
    assert before.strip() in replies[-1].text
    assert (repository / "greeting.py").read_text() == before


def test_the_first_words_of_the_demonstration_come_at_once():
    first = []

    async def until_first_word():
        heard = asyncio.Event()

        def on_delta(delta: Delta) -> None:
            first.append(delta.text)
            heard.set()

        speaking = asyncio.create_task(scripted("demo").reply(request(user("go")), on_delta))
        await asyncio.wait_for(heard.wait(), 5)
        speaking.cancel()

    portal.submit(until_first_word()).result(20)
    assert first == ["I"]
