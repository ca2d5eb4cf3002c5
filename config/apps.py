"""The composition root as an app: its commands and its checks."""

from django.apps import AppConfig


class CompositionConfig(AppConfig):
    name = "config"
    label = "composition"

    def ready(self) -> None:
        from config import checks  # noqa: F401, PLC0415  Registers them, once the apps are there.
