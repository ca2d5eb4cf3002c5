"""The boards app: what should be done."""

from django.apps import AppConfig


class BoardsConfig(AppConfig):
    name = "boards"
