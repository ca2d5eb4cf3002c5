"""Shapes of what workers outside are answered."""

from __future__ import annotations

from rest_framework import serializers

from executions.models import JobStatus, Status
from executions.serializers import Nested, UsageSerializer


class SignalShownSerializer(Nested):
    """A signal; `number` counts those of an execution."""

    number = serializers.IntegerField()
    name = serializers.CharField()
    value = serializers.JSONField(allow_null=True)
    sender = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()


class RemainingSerializer(Nested):
    """What is left of its limits; null where there is none."""

    turns = serializers.IntegerField()
    tokens = serializers.IntegerField(allow_null=True)
    seconds = serializers.FloatField(allow_null=True, help_text="Time of work.")


class ToldSerializer(Nested):
    """What every answer to a worker says of its run.

    `cancel`: end it at the next boundary (at once if `hard`) and release it as cancelled.
    `pause`: release it as paused at the next boundary. `messages`: what people have said to it
    and it has not consumed (signals named `message`).
    """

    status = serializers.ChoiceField(choices=Status.choices)
    lease_expires_at = serializers.DateTimeField(
        allow_null=True, help_text="By the server's clock; null once the worker has left."
    )
    cancel = serializers.BooleanField()
    hard = serializers.BooleanField()
    pause = serializers.CharField(
        allow_null=True, help_text="Why: `operator`, `agent`, `turn_limit` or `budget`."
    )
    messages = SignalShownSerializer(many=True)
    remaining = RemainingSerializer()


class WrittenEntrySerializer(Nested):
    """Where an entry came to stand."""

    id = serializers.UUIDField()
    position = serializers.IntegerField()


class EntriesWrittenSerializer(ToldSerializer):
    """The entries; `repeated` says that the same request had appended them."""

    entries = WrittenEntrySerializer(many=True)
    repeated = serializers.BooleanField()


class CheckpointWrittenSerializer(ToldSerializer):
    """The checkpoint's number."""

    sequence = serializers.IntegerField()


class ScheduledJobSerializer(Nested):
    """A job; one of a key that was there already may have ended."""

    id = serializers.UUIDField()
    key = serializers.CharField()
    kind = serializers.CharField()
    status = serializers.ChoiceField(choices=JobStatus.choices)


class JobsScheduledSerializer(ToldSerializer):
    """The jobs, in the order of the request."""

    jobs = ScheduledJobSerializer(many=True)


class CompletedSerializer(ToldSerializer):
    """Whether it is completed now; `status` and `messages` say why it is not."""

    completed = serializers.BooleanField()


class SuspendedSerializer(ToldSerializer):
    """Whether it waits now. If not, the wait is over already and the claim goes on."""

    suspended = serializers.BooleanField()


class ConsumedSerializer(ToldSerializer):
    """The signals that the claim has in hand now, in order."""

    signals = SignalShownSerializer(many=True)


class CheckpointShownSerializer(Nested):
    """The last checkpoint; sequence 0 and an empty state before the first."""

    sequence = serializers.IntegerField()
    position = serializers.IntegerField(help_text="Of the last entry before it.")
    turn = serializers.IntegerField()
    state = serializers.DictField()
    created_at = serializers.DateTimeField(allow_null=True)


class PendingSignalsSerializer(Nested):
    """Signals of that name or pattern that nobody has consumed, in order, at most 100."""

    count = serializers.IntegerField()
    signals = SignalShownSerializer(many=True)


class ConfigurationSerializer(Nested):
    """What the agent is, frozen at the start."""

    model = serializers.CharField(allow_blank=True)
    soul = serializers.CharField(allow_blank=True)
    tools = serializers.ListField(child=serializers.CharField())
    output_schema = serializers.DictField(allow_null=True)


class ClaimedAgentSerializer(Nested):
    """Who works."""

    id = serializers.UUIDField(allow_null=True)
    name = serializers.CharField(allow_blank=True)


class ClaimedSerializer(ToldSerializer):
    """An execution that is the worker's now, until its lease ends.

    Go on from `checkpoint` and the entries. `epoch` names the claim in every further call.
    """

    exec_id = serializers.UUIDField()
    epoch = serializers.IntegerField()
    lease_seconds = serializers.FloatField(help_text="Send a heartbeat every third of it.")
    kind = serializers.CharField()
    agent = ClaimedAgentSerializer()
    board = serializers.UUIDField(allow_null=True)
    task = serializers.UUIDField(allow_null=True)
    input = serializers.DictField()
    configuration = ConfigurationSerializer()
    checkpoint = CheckpointShownSerializer()
    leaf = serializers.UUIDField(allow_null=True, help_text="The last entry.")
    turn = serializers.IntegerField()
    max_turns = serializers.IntegerField()
    usage = UsageSerializer()
    recoveries = serializers.IntegerField()
    priority = serializers.IntegerField()
    deadline_at = serializers.DateTimeField(allow_null=True)
