"""Gives the questions of onboardings that have begun the keys by which they are answered."""

from django.db import migrations


def give_keys(apps, schema_editor):
    sessions = apps.get_model("boards", "OnboardingSession")
    for session in sessions.objects.exclude(questions=[]).iterator(chunk_size=100):
        for number, asked in enumerate(session.questions, start=1):
            asked.setdefault("key", f"q{number}")
        session.save(update_fields=["questions"])


class Migration(migrations.Migration):

    dependencies = [
        ("boards", "0009_onboarding_to_its_end"),
    ]

    operations = [
        migrations.RunPython(give_keys, migrations.RunPython.noop),
    ]
