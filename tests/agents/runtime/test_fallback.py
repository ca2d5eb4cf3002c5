"""A run's models in their order: the next answers where one cannot."""

from __future__ import annotations

import asyncio

import pytest

from agents.runtime import fallback
from agents.runtime.facts import Message, ModelRequest, Reply, Role
from agents.runtime.fallback import Chain, Named, Rests
from agents.runtime.llm import CONTEXT_TOO_LONG, MODEL_ERROR, Delta, ModelBusy, ModelError
from agents.runtime.redaction import Redactor

REQUEST = ModelRequest(1, "", (Message(Role.USER, "Hello"),))


class Model:
    """Answers with its name, or raises what it is told to."""

    def __init__(self, name: str, trouble: Exception | None = None) -> None:
        self.name, self.trouble, self.asked = name, trouble, 0

    async def reply(self, request: ModelRequest, on_delta: object) -> Reply:
        self.asked += 1
        if self.trouble:
            raise self.trouble
        return Reply(self.name, model=self.name)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(fallback, "rests", Rests(now=lambda: now[0]))
    return now


def chain(*models: Model) -> Chain:
    return Chain([Named(model.name, model.name, lambda m=model: m) for model in models])


def ask(models: Chain, deltas: list[Delta] | None = None) -> Reply:
    heard = deltas if deltas is not None else []
    return asyncio.run(models.reply(REQUEST, heard.append))


def broken() -> Model:
    return Model("first", ModelError(MODEL_ERROR, "it is down"))


def test_the_first_that_can_answers() -> None:
    second = Model("second")
    reply = ask(chain(Model("first"), second))
    assert (reply.text, reply.fell_back_from, second.asked) == ("first", (), 0)


def test_the_next_answers_for_one_that_fails_and_what_streamed_is_taken_back() -> None:
    deltas: list[Delta] = []
    reply = ask(chain(broken(), Model("second")), deltas)
    assert (reply.text, reply.fell_back_from) == ("second", ("first",))
    assert deltas == [Delta("reset")]


def test_one_that_is_busy_for_long_is_not_waited_for_where_another_is_free() -> None:
    reply = ask(chain(Model("first", ModelBusy(600)), Model("second")))
    assert reply.fell_back_from == ("first",)


def test_a_model_without_its_key_is_passed_over() -> None:
    def locked() -> Model:
        raise ModelError(MODEL_ERROR, "no key")

    models = Chain([Named("first", "first", locked), Named("second", "s", lambda: Model("second"))])
    assert ask(models).fell_back_from == ("first",)


def test_one_that_failed_is_asked_last_until_it_has_rested(clock: list[float]) -> None:
    first, second = broken(), Model("second")
    models = chain(first, second)
    ask(models)
    assert ask(chain(first, second)).fell_back_from == ()
    assert first.asked == 1
    clock[0] += fallback.REST_SECONDS + 1
    assert ask(models).fell_back_from == ("first",)
    assert first.asked == 2


def test_where_all_rest_all_are_asked() -> None:
    first, second = broken(), Model("second", ModelError(MODEL_ERROR, "it is gone"))
    for _ in range(2):
        with pytest.raises(ModelError, match="first: it is down; second: it is gone"):
            ask(chain(first, second))
    assert (first.asked, second.asked) == (2, 2)


def test_where_none_answers_and_one_will_later_it_is_waited_for() -> None:
    with pytest.raises(ModelBusy) as busy:
        ask(chain(Model("first", ModelBusy(600)), Model("second", ModelBusy(60)), broken()))
    assert busy.value.retry_after == 60


def too_small() -> Model:
    return Model("small", ModelError(CONTEXT_TOO_LONG, "too long"))


def test_a_request_that_is_too_long_for_one_may_fit_another() -> None:
    reply = ask(chain(too_small(), Model("second")))
    assert reply.text == "second"
    assert not fallback.rests.is_resting("small")


def test_a_request_that_is_too_long_for_all_goes_back_to_be_made_shorter() -> None:
    with pytest.raises(ModelError) as refused:
        ask(chain(broken(), too_small()))
    assert refused.value.code == CONTEXT_TOO_LONG


def test_a_request_that_fits_a_busy_model_waits_for_that() -> None:
    with pytest.raises(ModelBusy):
        ask(chain(Model("first", ModelBusy(600)), too_small()))


def test_a_secret_that_an_error_breaks_off_in_is_gone_before_others_follow_it() -> None:
    cut = Model("first", ModelError(MODEL_ERROR, "no such key: sk-this-is-th"))
    whole = Model("second", ModelError(MODEL_ERROR, "no sk-this-is-the-key here"))
    named = [Named(model.name, model.name, lambda m=model: m) for model in (cut, whole)]
    models = Chain(named, Redactor([("KEY", "sk-this-is-the-key")]))
    with pytest.raises(ModelError) as raised:
        ask(models)
    assert str(raised.value) == (
        "first: no such key: [redacted:KEY]; second: no [redacted:KEY] here"
    )
