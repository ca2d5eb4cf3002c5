from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("boards", "0012_schedules"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="webhookpayload",
            index=models.Index(
                condition=models.Q(("state", "waiting"), _negated=True),
                fields=["created_at"],
                name="payload_age",
            ),
        ),
    ]
