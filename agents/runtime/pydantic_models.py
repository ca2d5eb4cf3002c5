"""Models of real providers, asked through pydantic-ai's direct requests."""

from __future__ import annotations

import asyncio
import random
from itertools import count
from typing import NoReturn, assert_never
from urllib.parse import urlsplit

import httpx2
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic_ai import exceptions as theirs
from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import Model as TheirModel
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from pydantic_ai.settings import ModelSettings as TheirSettings

from agents.runtime.endpoint import Endpoint
from agents.runtime.facts import ModelRequest, Reply
from agents.runtime.model_contract import (
    CONTEXT_TOO_LONG,
    MODEL_ERROR,
    Delta,
    ModelBusy,
    ModelError,
    OnDelta,
)
from agents.runtime.pydantic_messages import to_delta, to_messages, to_parameters, to_reply
from agents.runtime.retry import Cause, ComeBack, Failure, GiveUp, TryAgain, retry_policy
from agents.runtime.spec import ModelSettings
from agents.runtime.tools.text import storable

_LONGEST_CONNECT = 10.0
_LONGEST_MESSAGE = 500


class _CutError(Exception):
    """A stream ended politely, but before the provider had said why it stopped."""


_FAILURES = (theirs.AgentRunError, theirs.UserError, httpx2.HTTPError, _CutError)


class ProviderModel:
    """One model at one endpoint; it may be shared by any number of requests."""

    def __init__(self, name: str, endpoint: Endpoint, settings: ModelSettings) -> None:
        self._name = name
        self._endpoint = endpoint
        self._settings = settings

    async def reply(self, request: ModelRequest, on_delta: OnDelta) -> Reply:
        """See `Model.reply`. Each failed try ends with a reset, whether or not another follows."""
        for attempt in count(1):
            try:
                return await self._ask(request, on_delta)
            except _FAILURES as error:
                failure = failure_of(error)
            on_delta(Delta("reset"))
            await self._wait_or_raise(failure, attempt)
        raise AssertionError("count() does not end")

    async def _ask(self, request: ModelRequest, on_delta: OnDelta) -> Reply:
        asked = model_request_stream(
            _opened(self._name, self._endpoint),
            to_messages(request),
            model_settings=self._their_settings(),
            model_request_parameters=to_parameters(request.tools),
        )
        async with asked as stream:
            async for event in stream:
                delta = to_delta(event)
                if delta is not None:
                    on_delta(delta)
            response = stream.get()
        _check_whole(response)
        return to_reply(response, request, self._name)

    async def _wait_or_raise(self, failure: Failure, attempt: int) -> None:
        chance = random.random()  # noqa: S311 - jitter needs no secret.
        decision = retry_policy(failure, attempt, retries=self._settings.retries, chance=chance)
        match decision:
            case TryAgain(delay):
                await asyncio.sleep(delay)
            case ComeBack(retry_after):
                raise ModelBusy(retry_after)
            case GiveUp():
                is_too_long = failure.cause is Cause.TOO_LONG
                code = CONTEXT_TOO_LONG if is_too_long else MODEL_ERROR
                raise ModelError(code, f"{self._name}: {failure.message}", failure.retry_after)
            case _:
                assert_never(decision)

    def _their_settings(self) -> TheirSettings:
        settings = TheirSettings()
        if self._settings.temperature is not None:
            settings["temperature"] = self._settings.temperature
        if self._settings.max_tokens is not None:
            settings["max_tokens"] = self._settings.max_tokens
        if self._settings.top_p is not None:
            settings["top_p"] = self._settings.top_p
        if self._settings.thinking is not None:
            settings["thinking"] = self._settings.thinking
        return settings


def failure_of(error: Exception) -> Failure:
    """Say in the retry rule's words what went wrong."""
    message = storable(_message(error))[:_LONGEST_MESSAGE]
    match error:
        case theirs.ModelContextWindowExceededError():
            return Failure(Cause.TOO_LONG, message)
        # A provider says "out of quota" with 429, and no wait helps.
        case theirs.ModelQuotaExceededError() | theirs.UserError() | theirs.ContentFilterError():
            return Failure(Cause.REFUSED, message)
        case theirs.ModelHTTPError(status_code=status, retry_after=retry_after):
            return Failure(Cause.STATUS, message, status=status, retry_after=retry_after)
        case theirs.ModelRequestRejectedError():
            return Failure(Cause.REFUSED, message)
        case theirs.ModelConnectionError():
            return Failure(Cause.CONNECTION, message)
    return Failure(Cause.CUT, message)


def _message(error: Exception) -> str:
    if isinstance(error, theirs.ModelHTTPError):
        return f"the provider answered {error.status_code}: {_said(error.body)}"
    if isinstance(error, theirs.ModelTimeoutError):
        return "the provider sent nothing for the whole timeout"
    if isinstance(error, theirs.ModelConnectionError):
        return f"the connection failed: {error.message}"
    return str(error) or type(error).__name__


def _said(body: object) -> object:
    """The provider's own words, wherever its error document keeps them."""
    if not isinstance(body, dict):
        return body or "no explanation"
    inner = body.get("error")
    return (inner if isinstance(inner, dict) else body).get("message", body)


def _check_whole(response: ModelResponse) -> None:
    """Refuse a reply that broke off, or that the provider's filter withheld altogether."""
    if response.finish_reason == "content_filter" and not response.parts:
        _refuse_filtered(response)
    # pydantic-ai takes a chat stream without a finish reason for a whole one; only the provider's
    # own word, kept in the details, tells that it was not cut short by something in between.
    if not (response.provider_details or {}).get("finish_reason") and (
        response.finish_reason != "content_filter"
    ):
        raise _CutError("the stream ended before the reply was whole")


def _refuse_filtered(response: ModelResponse) -> NoReturn:
    said = (response.provider_details or {}).get("refusal", "no explanation")
    raise theirs.ContentFilterError(f"the provider's content filter withheld the reply: {said}")


_opened_models: dict[asyncio.AbstractEventLoop, dict[tuple[str, Endpoint], TheirModel]] = {}
_clients: dict[asyncio.AbstractEventLoop, dict[Endpoint, AsyncOpenAI | AsyncAnthropic]] = {}


def _opened(name: str, endpoint: Endpoint) -> TheirModel:
    """The library's model for the running loop; a client is never carried to another loop."""
    loop = asyncio.get_running_loop()
    if loop not in _opened_models:
        _forget_closed_loops()
        _opened_models[loop], _clients[loop] = {}, {}
    models = _opened_models[loop]
    if (name, endpoint) not in models:
        models[name, endpoint] = _open(name, endpoint, _client(endpoint, _clients[loop]))
    return models[name, endpoint]


def _forget_closed_loops() -> None:
    for loop in [loop for loop in _clients if loop.is_closed()]:
        del _clients[loop], _opened_models[loop]


def _client(
    endpoint: Endpoint, clients: dict[Endpoint, AsyncOpenAI | AsyncAnthropic]
) -> AsyncOpenAI | AsyncAnthropic:
    if endpoint in clients:
        return clients[endpoint]
    kind = AsyncAnthropic if endpoint.protocol == "anthropic" else AsyncOpenAI
    clients[endpoint] = kind(
        api_key=endpoint.key,
        base_url=endpoint.base_url or None,
        # The timeout bounds silence, not the whole stream: a long reply may well take longer.
        timeout=httpx2.Timeout(endpoint.timeout, connect=min(_LONGEST_CONNECT, endpoint.timeout)),
        max_retries=0,  # The SDK would retry without a reset, and wait without asking us.
    )
    return clients[endpoint]


def _open(name: str, endpoint: Endpoint, client: AsyncOpenAI | AsyncAnthropic) -> TheirModel:
    if isinstance(client, AsyncAnthropic):
        return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=client))
    provider: OpenAIProvider | OpenAICompatibleProvider
    if endpoint.own:
        provider = OpenAIProvider(openai_client=client)
    else:
        # The name decides which provider's private parts of the history are sent back to it.
        host = urlsplit(endpoint.base_url).netloc
        provider = OpenAICompatibleProvider(host, openai_client=client)
    kind = OpenAIResponsesModel if endpoint.protocol == "responses" else OpenAIChatModel
    return kind(name, provider=provider)
