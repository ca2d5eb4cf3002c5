"""Addresses of this app, below `/api/v0/`."""

from typing import Any

from django.urls import path, re_path
from rest_framework.routers import SimpleRouter

from agents.rest.plain_views import by_method
from boards.views.approvals import ApprovalViewSet
from boards.views.boards import BoardViewSet, SeatViewSet
from boards.views.hooks import receive_hook
from boards.views.labels import CustomFieldViewSet, TagViewSet
from boards.views.memory import MemoryViewSet
from boards.views.messages import MessageViewSet
from boards.views.onboarding import (
    OnboardingAnswerView,
    OnboardingCancelView,
    OnboardingConfirmView,
    OnboardingDraftView,
    OnboardingTakeOverView,
    OnboardingView,
)
from boards.views.schedules import NudgeView, ScheduleViewSet
from boards.views.streams import stream_of_board
from boards.views.tasks import CommentViewSet, MoveViewSet, TaskViewSet
from boards.views.webhooks import PayloadViewSet, WebhookViewSet

_OF_BOARD = r"boards/(?P<board_id>[^/.]+)"
_OF_TASK = rf"{_OF_BOARD}/tasks/(?P<task_id>[^/.]+)"
_OF_WEBHOOK = rf"{_OF_BOARD}/webhooks/(?P<webhook_id>[^/.]+)"
_hook: Any = by_method(post=receive_hook)

router = SimpleRouter(trailing_slash=False)
router.register("boards", BoardViewSet, basename="board")
router.register(rf"{_OF_BOARD}/seats", SeatViewSet, basename="seat")
router.register(rf"{_OF_BOARD}/tasks", TaskViewSet, basename="task")
router.register(rf"{_OF_TASK}/comments", CommentViewSet, basename="comment")
router.register(rf"{_OF_TASK}/moves", MoveViewSet, basename="move")
router.register(rf"{_OF_BOARD}/approvals", ApprovalViewSet, basename="approval")
router.register(rf"{_OF_BOARD}/memory", MemoryViewSet, basename="memory")
router.register(rf"{_OF_BOARD}/webhooks", WebhookViewSet, basename="webhook")
router.register(rf"{_OF_WEBHOOK}/payloads", PayloadViewSet, basename="payload")
router.register("schedules", ScheduleViewSet, basename="schedule")
router.register("messages", MessageViewSet, basename="message")
router.register("tags", TagViewSet, basename="tag")
router.register("custom-fields", CustomFieldViewSet, basename="custom-field")

urlpatterns = router.urls
urlpatterns += [
    path("hooks/<str:webhook_id>", _hook, name="hook"),
    path("boards/<uuid:board_id>/stream", stream_of_board),
    path("agents/<str:agent_id>/nudge", NudgeView.as_view()),
    re_path(rf"^{_OF_BOARD}/onboarding$", OnboardingView.as_view()),
    re_path(rf"^{_OF_BOARD}/onboarding/answer$", OnboardingAnswerView.as_view()),
    re_path(rf"^{_OF_BOARD}/onboarding/cancel$", OnboardingCancelView.as_view()),
    re_path(rf"^{_OF_BOARD}/onboarding/confirm$", OnboardingConfirmView.as_view()),
    re_path(rf"^{_OF_BOARD}/onboarding/draft$", OnboardingDraftView.as_view()),
    re_path(rf"^{_OF_BOARD}/onboarding/take-over$", OnboardingTakeOverView.as_view()),
]
