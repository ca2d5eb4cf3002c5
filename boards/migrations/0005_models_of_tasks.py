from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("boards", "0004_unassigned_tasks"),
    ]

    operations = [
        migrations.AddField(
            model_name='task',
            name='max_turns',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='task',
            name='model',
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name='task',
            name='model_settings',
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.CheckConstraint(condition=models.Q(('max_turns__isnull', True), ('max_turns__range', (1, 500)), _connector='OR'), name='task_max_turns_1_to_500'),
        ),
    ]
