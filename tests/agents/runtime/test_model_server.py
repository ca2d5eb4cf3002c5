"""The local model server as a process of its own, and under a crowd."""

import json
import subprocess
import sys
import time
import urllib.request

import pytest

from agents.runtime import portal
from agents.runtime.facts import Message, ModelRequest, Role
from agents.runtime.llm import open_model
from agents.runtime.spec import ModelSettings

SCRIPT = json.dumps({"turns": [{"say": "I look.", "tools": [{"name": "Bash", "input": {}}]}]})


@pytest.fixture
def address():
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.model_server", "--port", "0", "--latency", "0.5"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait(20)
        portal.close()


def test_a_server_process_carries_300_slow_requests_and_lists_them(address, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    model = open_model("openai:some-model", ModelSettings(base_url=f"{address}/v1", retries=0))
    request = ModelRequest(1, "", (Message(Role.USER, SCRIPT),))

    before = time.monotonic()
    futures = [portal.submit(model.reply(request, lambda _: None)) for _ in range(300)]
    replies = [future.result(60) for future in futures]

    assert {reply.text for reply in replies} == {"I look."}
    assert time.monotonic() - before < 40, "one after the other they take 150 s"
    with urllib.request.urlopen(f"{address}/requests", timeout=10) as answer:  # noqa: S310 - ours.
        listed = json.load(answer)
    assert len(listed) == 300
    assert {asked["outcome"] for asked in listed} == {"answered"}
    assert {asked["prompt"] for asked in listed} == {SCRIPT[:200]}
    assert len({asked["digest"] for asked in listed}) == 1
