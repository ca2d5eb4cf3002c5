"""The executions app: what was done, and what does it."""

from django.apps import AppConfig


class ExecutionsConfig(AppConfig):
    name = "executions"
