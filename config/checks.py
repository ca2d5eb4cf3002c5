"""Numbered system checks: what of the configuration is wrong or unsafe, and what would be right."""

import os
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register

from agents.runtime.llm import UnknownModel, check_model_name
from agents.runtime.tools.confine import confinement

_LOCAL = {"localhost", "127.0.0.1", "[::1]"}


@register(Tags.security, deploy=True)
def secret_key(**_: Any) -> list[CheckMessage]:
    """Several hosts share one key, so it must come from the environment there."""
    if os.environ.get("SECRET_KEY") or set(settings.ALLOWED_HOSTS) <= _LOCAL:
        return []
    return [
        Error(
            "SECRET_KEY is not set, but ALLOWED_HOSTS names other hosts than this one.",
            hint="Set SECRET_KEY to the same long random text for every process.",
            id="signalbox.E001",
        )
    ]


@register()
def default_model(**_: Any) -> list[CheckMessage]:
    """SIGNALBOX_MODEL names a model that can be opened."""
    try:
        check_model_name(settings.SIGNALBOX_DEFAULT_MODEL)
    except UnknownModel as error:
        return [Error(str(error), hint="Correct SIGNALBOX_MODEL.", id="signalbox.E002")]
    return []


@register()
def lease(**_: Any) -> list[CheckMessage]:
    """A lease is renewed every third of it: shorter than a second it is lost by a hiccup."""
    if settings.EXECUTION_LEASE.total_seconds() >= 1:
        return []
    return [
        Error(
            "SIGNALBOX_LEASE_SECONDS is below 1.",
            hint="30 is the default; tests use 2.",
            id="signalbox.E003",
        )
    ]


@register(Tags.security, deploy=True)
def bash(**_: Any) -> list[CheckMessage]:
    """Bash is confined; looking takes a moment, so only a check for deployment does."""
    found = confinement()
    if found.name in ("bwrap", "landlock"):
        return []
    hint = "Install bubblewrap (the program bwrap) on every worker's host."
    return [checks.Warning(found.describe(), hint=hint, id="signalbox.W001")]


@register(Tags.security, deploy=True)
def repository_roots(**_: Any) -> list[CheckMessage]:
    """Whoever configures a board could have its agents read any repository of the host."""
    if settings.SIGNALBOX_REPOSITORY_ROOTS:
        return []
    return [
        checks.Warning(
            "A board may name any git repository that a worker's host can read.",
            hint="Set SIGNALBOX_REPOSITORY_ROOTS to the folders that boards may use.",
            id="signalbox.W002",
        )
    ]
