"""Where a named model is reached: which protocol, which address, which key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from agents.runtime.model_contract import MODEL_ERROR, ModelError, UnknownModel
from agents.runtime.spec import ModelSettings

VALID_FORMS = (
    "openai:NAME (OpenAI itself, or any server that speaks chat completions at a base URL), "
    "openai-responses:NAME, openai-compatible:NAME (base URL needed, key optional), "
    "anthropic:NAME, scripted:NAME"
)
PROVIDERS = ("openai", "openai-responses", "openai-compatible", "anthropic", "scripted")
# An agent's settings name the variable and the address, so a freely chosen name could send any
# secret of the server's environment to any host.
_KEY_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*_API_KEY")
_OWN_HOSTS = ("api.openai.com", "api.anthropic.com", "localhost", "127.0.0.1", "::1")
_NO_KEY = "no-key-needed"

Protocol = Literal["chat", "responses", "anthropic"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One provider's address; equal endpoints share one client. `base_url` "" is the default."""

    protocol: Protocol
    base_url: str
    key: str = field(repr=False)
    timeout: float
    own: bool


def is_key_variable(name: str) -> bool:
    """Whether a variable of the server may be the key of a model."""
    return _KEY_VARIABLE.fullmatch(name) is not None


def split_name(name: str) -> tuple[str, str]:
    """Return provider and model of `provider:model`. Raises UnknownModel naming the valid forms."""
    provider, colon, model = name.partition(":")
    if not colon or not model.strip() or provider not in PROVIDERS:
        raise UnknownModel(f"Unknown model {name!r}. Valid forms: {VALID_FORMS}.")
    return provider, model


def endpoint_of(provider: str, settings: ModelSettings, environ: Mapping[str, str]) -> Endpoint:
    """Resolve a provider with its settings; empty settings fall back to the environment.

    Raises ModelError when the key or a needed base URL is missing, naming the variable.
    """
    if settings.base_url and (settings.api_key_env or provider != "openai-compatible"):
        _check_trusted(settings.base_url, environ)
    if provider == "anthropic":
        base_url = settings.base_url or environ.get("ANTHROPIC_BASE_URL", "")
        key = _key(settings.api_key_env or "ANTHROPIC_API_KEY", environ)
        return Endpoint("anthropic", base_url, key, settings.timeout, own=True)
    base_url = settings.base_url or environ.get("OPENAI_BASE_URL", "")
    if provider == "openai-compatible":
        return _compatible(base_url, settings, environ)
    key = _key(settings.api_key_env or "OPENAI_API_KEY", environ)
    own = _is_openai(base_url)
    # Servers that imitate OpenAI speak chat completions; the newer protocol only some of them.
    responses = own or provider == "openai-responses"
    return Endpoint("responses" if responses else "chat", base_url, key, settings.timeout, own=own)


def _check_trusted(base_url: str, environ: Mapping[str, str]) -> None:
    """Raise `ModelError` unless the server's keys may be sent there.

    An agent's settings are written by its organization; the keys belong to the server.
    """
    named = environ.get("SIGNALBOX_MODEL_URLS", "").split(",")
    known = {url.strip().rstrip("/") for url in named}
    if urlsplit(base_url).hostname in _OWN_HOSTS or base_url.rstrip("/") in known:
        return
    raise ModelError(
        MODEL_ERROR,
        f"No key is sent to {base_url}: it is not among SIGNALBOX_MODEL_URLS. Use "
        "openai-compatible without a key, or have the operator of the server add it.",
    )


def _compatible(base_url: str, settings: ModelSettings, environ: Mapping[str, str]) -> Endpoint:
    if not base_url:
        raise ModelError(
            MODEL_ERROR, "openai-compatible: needs a base URL: set base_url or OPENAI_BASE_URL."
        )
    # OPENAI_API_KEY is never sent to another server unless it is named.
    key = _key(settings.api_key_env, environ) if settings.api_key_env else _NO_KEY
    return Endpoint("chat", base_url, key, settings.timeout, own=False)


def _is_openai(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    return not base_url or host == "api.openai.com" or host.endswith(".api.openai.com")


def _key(variable: str, environ: Mapping[str, str]) -> str:
    if not is_key_variable(variable):
        raise ModelError(
            MODEL_ERROR, f"The variable of a model's key must end in _API_KEY, not {variable!r}."
        )
    key = environ.get(variable, "").strip()
    if not key:
        raise ModelError(
            MODEL_ERROR, f"No key for the model: the environment variable {variable} is not set."
        )
    return key
