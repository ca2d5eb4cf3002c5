"""The ASGI door: Django with the static files of the admin, behind a limit of the body's size."""

import os
from typing import cast

from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

from agents.rest.body_limit import App, limit_body

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

_django = cast("App", ASGIStaticFilesHandler(get_asgi_application()))
application = limit_body(_django, limit=settings.API_BODY_LIMIT)
