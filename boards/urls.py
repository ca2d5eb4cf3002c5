"""Addresses of this app, below `/api/v0/`."""

from rest_framework.routers import SimpleRouter

from boards.views.boards import BoardViewSet, SeatViewSet
from boards.views.tasks import TaskViewSet

_OF_BOARD = r"boards/(?P<board_id>[^/.]+)"

router = SimpleRouter(trailing_slash=False)
router.register("boards", BoardViewSet, basename="board")
router.register(rf"{_OF_BOARD}/seats", SeatViewSet, basename="seat")
router.register(rf"{_OF_BOARD}/tasks", TaskViewSet, basename="task")

urlpatterns = router.urls
