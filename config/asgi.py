"""The ASGI door: Django with the static files of the admin, behind a limit of the body's size."""

import gc
import os
from typing import cast

from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application
from django.urls import get_resolver

from agents.rest.body_limit import App, limit_body
from agents.rest.late_body import leave_bodies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

_django = cast("App", ASGIStaticFilesHandler(get_asgi_application()))
_limited = limit_body(_django, limit=settings.API_BODY_LIMIT)


def _is_hook(path: str) -> bool:
    return path.startswith("/api/v0/hooks/")


# Who sends to a webhook is asked everything else before the body is read.
application = leave_bodies(_django, at=_is_hook, others=_limited)

# What is loaded stays, and need not be looked through: a full collection would hold all requests
# for 145 ms, and so for 16 ms (measured). The views are loaded too, before the first request.
_ = get_resolver().url_patterns
gc.collect()
gc.freeze()
