"""What every page of the admin shares: bounded counts, refusals as messages, writes by actions."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from rest_framework.exceptions import APIException
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.views import ChangeList

from agents.activity import Actor
from agents.models import ActorKind

COUNTED_AT_MOST = 10_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # Not generic at run time.
    """Counts no further than `COUNTED_AT_MOST`: an exact count reads every row of the table."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[:COUNTED_AT_MOST].count())


class BoundedList(ChangeList):  # type: ignore[misc]  # unfold has no types.
    """Offers to show all rows only where it does not show them already."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            self.full_result_count = self.result_count


def labelled(field: str, colours: Mapping[str, str], *, description: str = "") -> Any:
    """A column that shows a field's choice as a label; one that has no colour is grey.

    The colours are `success`, `info`, `warning` and `danger`.
    """

    def label(page: Any, row: Model) -> tuple[str, str]:
        value = str(getattr(row, field))
        told = getattr(row, f"get_{field}_display", value.capitalize)
        return value, told()

    about = description or field.replace("_", " ")
    return display(label, description=about, ordering=field, label=dict(colours))


@display(description="Paused", label={"Paused": "warning"})
def paused(page: Any, row: Any) -> str | None:
    """A column that says so of a row that is paused, and else nothing."""
    return "Paused" if row.is_paused else None


@dataclass(frozen=True, slots=True)
class RowActions:
    """What carries out the changes of rows below a row: new ones, other roles, rows taken away."""

    add: Callable[..., Any]
    change: Callable[..., Any]
    remove: Callable[..., Any]


class Page(ModelAdmin):  # type: ignore[misc]  # unfold has no types.
    """A model whose rows are written by actions; what they refuse is shown, and nothing saved.

    A subclass names its actions in `create`, `change` and `remove`. Without one of them that
    operation is not offered.
    """

    show_full_result_count = False
    paginator = BoundedPaginator
    list_per_page = 50
    compressed_fields = True
    warn_unsaved_form = True
    list_filter_submit = False

    create: Callable[..., Any] | None = None
    change: Callable[..., Any] | None = None
    remove: Callable[..., Any] | None = None
    # Fields that are given once, when the row is created.
    fixed_fields: tuple[str, ...] = ()
    # What must hold of a field, as the action would refuse it: shown beside the field instead.
    checks: Mapping[str, Callable[[Any], None]] = {}
    row_actions: Mapping[type[Model], RowActions] = {}

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and db_field.name in self.checks:
            field.validators.append(self.checks[db_field.name])
        if field is not None and db_field.name == "slug":
            field.required = False
            field.help_text = "Left empty, it is made from the name."
        return field

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        always = tuple(super().get_readonly_fields(request, obj))
        return (*always, *self.fixed_fields) if obj else always

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BoundedList]:
        return BoundedList

    def get_inlines(self, request: HttpRequest, obj: Model | None) -> Any:
        return super().get_inlines(request, obj) if obj else []

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        # Django's own reads every row that goes too, and asks for a right to delete each kind;
        # here the action decides.
        names = {self.opts.verbose_name_plural: len(objs)}
        return [str(row) for row in objs], names, set(), []

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.create is not None and bool(super().has_add_permission(request))

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.change is not None and bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.remove is not None and bool(super().has_delete_permission(request, obj))

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:  # noqa: FBT001  # Django's signature.
        fields = self._values(form, form.changed_data if change else list(form.cleaned_data))
        written = self.write(request, obj, fields) if change else self.make(request, fields)
        # The rest of Django's view speaks of `obj`: its log, its message, its inlines.
        obj.__dict__.update(written.__dict__)

    def _values(self, form: Any, names: Iterable[str]) -> dict[str, Any]:
        values = {name: form.cleaned_data[name] for name in names}
        for name, value in values.items():
            # An emptied form field is None, also where the column takes no null.
            if value is None and not self.opts.get_field(name).null:
                values[name] = self.opts.get_field(name).get_default()
        return {name: value for name, value in values.items() if name != "slug" or value}

    def make(self, request: HttpRequest, fields: dict[str, Any]) -> Model:
        """Call the action that creates a row of these fields."""
        assert self.create is not None
        made: Model = self.create(fields, by=actor_of(request))
        return made

    def write(self, request: HttpRequest, obj: Model, fields: dict[str, Any]) -> Model:
        """Call the action that changes these fields of a row."""
        assert self.change is not None
        changed: Model = self.change(obj, fields, by=actor_of(request))
        return changed

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:  # noqa: FBT001  # Django's signature.
        act, by = self.row_actions.get(formset.model), actor_of(request)
        formset.save(commit=False)
        if act is None:  # Rows that are only shown.
            return
        for row in formset.deleted_objects:
            act.remove(row, by=by)
        for row, _ in formset.changed_objects:
            act.change(row, row.role, by=by)
        for row in formset.new_objects:
            act.add(row, by=by)

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        assert self.remove is not None
        self.remove(obj, by=actor_of(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:
            self.delete_model(request, row)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._or_refused(request, super().changeform_view, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._or_refused(request, super().delete_view, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._or_refused(request, super().changelist_view, *args, **kwargs)

    def _or_refused(
        self, request: HttpRequest, view: Callable[..., HttpResponse], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        # Django's view is one transaction: what it wrote before the refusal is undone.
        try:
            return view(request, *args, **kwargs)
        except (APIException, ValidationError) as error:
            tell_refusal(request, error)
            return HttpResponseRedirect(request.get_full_path())

    def for_each(
        self, request: HttpRequest, rows: Iterable[Model], act: Callable[..., Any], done: str
    ) -> None:
        """Carry out an action on each row; one that is refused leaves the others done."""
        count = 0
        for row in rows:
            try:
                act(row, by=actor_of(request))
                count += 1
            except APIException as error:
                tell_refusal(request, error, about=str(row))
        if count:
            self.message_user(request, f"{done}: {count}.", messages.SUCCESS)


class ReadOnlyPage(Page):
    """A model that the admin shows and does not write."""


class ReadOnlyRows(TabularInline):  # type: ignore[misc]  # unfold has no types.
    """Rows shown below another row, and written elsewhere."""

    extra = 0
    can_delete = False
    show_change_link = False
    tab = True
    per_page = 20

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def actor_of(request: HttpRequest) -> Actor:
    """The signed-in person as actions and the permanent record want it."""
    person: Any = request.user  # The admin lets nobody in who is not signed in.
    return Actor(ActorKind.MEMBER, person.pk, person.get_full_name() or person.get_username())


def show_once(request: HttpRequest, what: str, secret: str) -> None:
    """Show a secret in a message: it is kept nowhere, and the next page is without it."""
    messages.warning(request, f"{what}, shown only now: {secret}")


def tell_refusal(request: HttpRequest, error: Exception, about: str = "") -> None:
    """Show why something was not done."""
    messages.error(request, f"{about}: {_words(error)}" if about else _words(error))


def _words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return " ".join(error.messages)
    detail = getattr(error, "detail", str(error))
    if isinstance(detail, dict):
        return " ".join(f"{name}: {' '.join(map(str, found))}" for name, found in detail.items())
    return str(detail)
