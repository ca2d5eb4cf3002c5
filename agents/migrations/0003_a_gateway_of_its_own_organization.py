"""Holds an agent's gateway to the agent's organization, which Django's foreign keys cannot say."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("agents", "0002_gateways_and_messages")]

    operations = [
        migrations.RunSQL(
            """
            ALTER TABLE agents_agent ADD CONSTRAINT agent_gateway_of_its_own
            FOREIGN KEY (gateway_id, organization_id)
            REFERENCES agents_gateway (id, organization_id) DEFERRABLE INITIALLY DEFERRED
            """,
            "ALTER TABLE agents_agent DROP CONSTRAINT agent_gateway_of_its_own",
        )
    ]
