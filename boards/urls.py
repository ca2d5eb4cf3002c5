"""Addresses of this app, below `/api/v0/`."""

from django.urls import path, re_path
from rest_framework.routers import SimpleRouter

from boards.views.approvals import ApprovalViewSet
from boards.views.boards import BoardViewSet, SeatViewSet
from boards.views.labels import CustomFieldViewSet, TagViewSet
from boards.views.memory import MemoryViewSet
from boards.views.messages import MessageViewSet
from boards.views.onboarding import OnboardingAnswerView, OnboardingView
from boards.views.streams import stream_of_board
from boards.views.tasks import CommentViewSet, MoveViewSet, TaskViewSet

_OF_BOARD = r"boards/(?P<board_id>[^/.]+)"
_OF_TASK = rf"{_OF_BOARD}/tasks/(?P<task_id>[^/.]+)"

router = SimpleRouter(trailing_slash=False)
router.register("boards", BoardViewSet, basename="board")
router.register(rf"{_OF_BOARD}/seats", SeatViewSet, basename="seat")
router.register(rf"{_OF_BOARD}/tasks", TaskViewSet, basename="task")
router.register(rf"{_OF_TASK}/comments", CommentViewSet, basename="comment")
router.register(rf"{_OF_TASK}/moves", MoveViewSet, basename="move")
router.register(rf"{_OF_BOARD}/approvals", ApprovalViewSet, basename="approval")
router.register(rf"{_OF_BOARD}/memory", MemoryViewSet, basename="memory")
router.register("messages", MessageViewSet, basename="message")
router.register("tags", TagViewSet, basename="tag")
router.register("custom-fields", CustomFieldViewSet, basename="custom-field")

urlpatterns = router.urls
urlpatterns += [
    path("boards/<uuid:board_id>/stream", stream_of_board),
    re_path(rf"^{_OF_BOARD}/onboarding$", OnboardingView.as_view()),
    re_path(rf"^{_OF_BOARD}/onboarding/answer$", OnboardingAnswerView.as_view()),
]
