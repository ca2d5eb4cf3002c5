"""How the processes log: lines for people, or JSON for machines, through one pipeline."""

from __future__ import annotations

from typing import Any

import structlog

from agents.runtime import redaction

_BEFORE: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=True),
    structlog.processors.format_exc_info,
]
# Loud about what everybody expects.
_QUIET = {
    "celery.worker.strategy": "WARNING",
    "celery.app.trace": "WARNING",
    "celery.beat": "WARNING",
    "django.request": "ERROR",
    "django_structlog": "WARNING",
    "httpx2": "WARNING",
    "uvicorn": "WARNING",
}


def _redacted(_logger: Any, _method: str, line: str) -> str:
    return redaction.logged(line)


def configure(*, level: str, as_json: bool) -> dict[str, Any]:
    """Set structlog up, and return Django's LOGGING for the same pipeline."""
    structlog.configure(
        processors=[*_BEFORE, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)
    )
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": _BEFORE,
        "processors": [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            renderer,
            _redacted,  # Last, so that a traceback is redacted too.
        ],
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {name: {"level": quiet} for name, quiet in _QUIET.items()},
    }
