"""Plain async views beside those of DRF: in one URL, in one schema, under the same rules."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.views import APIView

AsyncView = Callable[..., Awaitable[HttpResponseBase]]
_SyncView = Callable[..., HttpResponseBase]
View = Callable[..., Awaitable[HttpResponseBase] | HttpResponseBase]


@dataclass(frozen=True, slots=True)
class Operation:
    """What the schema says of one method of a plain view.

    `responses` is `{200: SerializerClass, 202: ..., (200, "text/event-stream"): str}`; statuses
    in `problems` are answered with a problem, as are those that every operation has.
    """

    operation_id: str
    summary: str
    responses: Mapping[Any, Any]
    request: Any = None
    description: str = ""
    parameters: Sequence[OpenApiParameter] = ()
    problems: Iterable[int] = ()
    tags: Sequence[str] | None = None
    extensions: Mapping[str, Any] = field(default_factory=dict)
    is_for_agents: bool = False
    # Asks nobody who they are.
    is_public: bool = False


def documented(view: AsyncView, **operations: Operation) -> AsyncView:
    """The view, in the schema as its `operations` (`post=Operation(...)`) say.

    drf-spectacular describes classes, so that the view carries one that is never called. The
    view is exempt from Django's CSRF check, since `authenticate` makes it for who has a session.
    """
    shadow: dict[str, Any] = {
        "__doc__": view.__doc__,
        "problem_statuses": {name.upper(): tuple(op.problems) for name, op in operations.items()},
    }
    for name, operation in operations.items():
        shadow[name] = _described(operation)
        shadow["is_for_agents"] = operation.is_for_agents
        if operation.is_public:
            shadow |= {"authentication_classes": (), "permission_classes": (), "once_by_key": False}
    return _marked(view, type(f"{_name(view)}_shadow", (APIView,), shadow), {})


def by_method(**views: View) -> AsyncView:
    """One async view for a path whose methods go to different views (`get=`, `post=`).

    Each is a DRF view (`Views.as_view(...)`) or a `documented` one; the schema has them all. A
    DRF view runs in the request's thread, an async one holds none.
    """
    by_name = {name.upper(): view for name, view in views.items()}
    by_name.setdefault("HEAD", by_name.get("GET", _no_such_method))

    async def chosen(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        view = by_name.get(str(request.method), _no_such_method)
        if view is _no_such_method:
            return HttpResponseNotAllowed([name.upper() for name in views])
        if iscoroutinefunction(view):
            return cast("HttpResponseBase", await view(request, *args, **kwargs))
        return await sync_to_async(cast("_SyncView", view))(request, *args, **kwargs)

    classes = tuple(dict.fromkeys(_described_by(view) for view in views.values()))
    return _marked(chosen, type("by_method", _plain_first(classes), {}), views)


def in_place_of(view: View) -> Callable[[AsyncView], Any]:
    """Marks an async view that answers for a DRF view: the schema has what that one says.

    What comes of it is typed as what `path` takes.
    """

    def mark(stand_in: AsyncView) -> Any:
        actions: Mapping[str, str] = getattr(view, "actions", {})
        return _marked(stand_in, _described_by(view), dict.fromkeys(actions, view))

    return mark


def _described(operation: Operation) -> Callable[..., None]:
    def method(self: APIView, request: object, *args: object, **kwargs: object) -> None:
        raise AssertionError("The shadow of a plain view is never called.")

    describe = extend_schema(
        operation_id=operation.operation_id,
        summary=operation.summary,
        description=operation.description or operation.summary,
        request=operation.request,
        responses=dict(operation.responses),
        parameters=list(operation.parameters),
        tags=operation.tags,
        extensions=dict(operation.extensions),
    )
    return describe(method)


def _marked(view: AsyncView, shadow: type, views: Mapping[str, View]) -> AsyncView:
    """The view with the attributes by which the schema and Django's CSRF check know it."""
    actions: dict[str, str] = {}
    initkwargs: dict[str, Any] = {}
    for name, inner in views.items():
        actions[name] = getattr(inner, "actions", {}).get(name, name)
        initkwargs |= getattr(inner, "initkwargs", {})
    marks: dict[str, Any] = {"cls": shadow, "initkwargs": initkwargs, "csrf_exempt": True}
    if any(hasattr(inner, "actions") for inner in views.values()):
        marks["actions"] = actions
    for name, mark in marks.items():
        setattr(view, name, mark)
    return view


def _described_by(view: View) -> type[APIView]:
    described: type[APIView] = view.cls  # type: ignore[attr-defined]  # Set by as_view and documented.
    return described


def _plain_first(classes: tuple[type[APIView], ...]) -> tuple[type[APIView], ...]:
    # A shadow is directly below APIView, which must come after what DRF's classes add to it.
    return tuple(sorted(classes, key=lambda found: found.__bases__ != (APIView,)))


def _name(view: AsyncView) -> str:
    return str(getattr(view, "__name__", "view"))


def _no_such_method(request: HttpRequest) -> HttpResponseBase:
    raise AssertionError("It only stands for the absence of a view.")
