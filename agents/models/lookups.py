"""How rows are looked for beyond what Django has."""

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import ForeignKey, Lookup
from django.db.models.sql.compiler import SQLCompiler


@ForeignKey.register_lookup
class Alike(Lookup):
    """`board__alike=id`: equal, in a form that PostgreSQL's planner takes for no constant.

    Of rows with a constant in common it expects the newest to be everywhere, and may walk by the
    primary key through all the newer rows of others. So, and ordered by that column before all
    else, a list is read from the index that begins with it.
    """

    lookup_name = "alike"

    def as_sql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[Any, ...]]:
        column, of_column = self.process_lhs(compiler, connection)
        value, of_value = self.process_rhs(compiler, connection)
        return f"{column} = ANY(ARRAY[{value}])", (*of_column, *of_value)
