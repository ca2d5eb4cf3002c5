"""The agents app: who acts, and how an agent thinks."""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "agents"
