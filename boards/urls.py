"""Addresses of this app, below `/api/v0/`."""

from rest_framework.routers import SimpleRouter

from boards.views.boards import BoardViewSet, SeatViewSet
from boards.views.tasks import CommentViewSet, MoveViewSet, TaskViewSet

_OF_BOARD = r"boards/(?P<board_id>[^/.]+)"
_OF_TASK = rf"{_OF_BOARD}/tasks/(?P<task_id>[^/.]+)"

router = SimpleRouter(trailing_slash=False)
router.register("boards", BoardViewSet, basename="board")
router.register(rf"{_OF_BOARD}/seats", SeatViewSet, basename="seat")
router.register(rf"{_OF_BOARD}/tasks", TaskViewSet, basename="task")
router.register(rf"{_OF_TASK}/comments", CommentViewSet, basename="comment")
router.register(rf"{_OF_TASK}/moves", MoveViewSet, basename="move")

urlpatterns = router.urls
