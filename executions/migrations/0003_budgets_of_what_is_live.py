from django.db import migrations

# What has ended keeps its budgets in its frozen configuration alone.
_COPY = """
UPDATE executions_execution SET
  token_budget = nullif((spec->>'token_budget')::bigint, 0),
  seconds_budget = nullif((spec->>'seconds_budget')::bigint, 0)
WHERE finished_at IS NULL
"""


class Migration(migrations.Migration):
    dependencies = [("executions", "0002_execution_budgets")]

    operations = [migrations.RunSQL(_COPY, migrations.RunSQL.noop)]
