"""The operators' view of what belongs to tasks: comments, dependencies, moves."""

from django.contrib import admin

from agents.admin.pages import ReadOnlyPage
from boards.models import Comment, Dependency, Move


@admin.register(Comment)
class CommentPage(ReadOnlyPage):
    """What was written on tasks."""

    list_display = ("__str__", "task", "author_name", "created_at")
    list_select_related = ("task",)
    list_filter = ("author_kind",)
    search_fields = ("content", "task__title", "author_name")


@admin.register(Dependency)
class DependencyPage(ReadOnlyPage):
    """Which tasks wait for which."""

    list_display = ("task", "on")
    list_select_related = ("task", "on")
    search_fields = ("task__title", "on__title")


@admin.register(Move)
class MovePage(ReadOnlyPage):
    """How tasks moved."""

    list_display = ("task", "before", "after", "actor_name", "created_at")
    list_select_related = ("task",)
    list_filter = ("after", "actor_kind")
    search_fields = ("task__title", "actor_name")
