"""Shapes of organizations, members, keys, agents, souls and activity."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db import models
from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agents.actions import configuration, slugs
from agents.models import (
    Activity,
    Agent,
    AgentToken,
    Gateway,
    IntegrationKey,
    Membership,
    Message,
    Organization,
    Scope,
    SoulVersion,
    User,
)
from agents.posting import check_url
from agents.presence import Presence, presence_of

LARGEST_INTEGER = 2**31 - 1


class KnownFieldsOnly(serializers.Serializer[Any]):
    """Refuses a field that it does not have: a misspelt one would be dropped without a word.

    `of_requests` is what the schema of its requests says besides.
    """

    of_requests: ClassVar[Mapping[str, Any]] = {"additionalProperties": False}

    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, Mapping) else []
        if not unknown:
            return super().to_internal_value(data)
        problems: dict[str, Any] = {
            name: [serializers.ErrorDetail("There is no such field.", code="unknown_field")]
            for name in unknown
        }
        try:
            super().to_internal_value(data)
        except serializers.ValidationError as error:
            problems.update(error.detail if isinstance(error.detail, dict) else {})
        raise serializers.ValidationError(problems)


class KnownModelFieldsOnly(KnownFieldsOnly, serializers.ModelSerializer[Any]):
    """The same for the fields of a model."""


class ActorSerializer(serializers.Serializer[Any]):
    """Who did it; somebody who may be gone."""

    kind = serializers.CharField()
    id = serializers.UUIDField(allow_null=True)
    name = serializers.CharField()


@extend_schema_field(ActorSerializer)
class ActorField(serializers.Field[Any, Any, Any, Any]):
    """An actor, of a row's columns `<part>_kind`, `<part>_id` and `<part>_name`."""

    def __init__(self, part: str = "actor", *, allow_null: bool = False) -> None:
        super().__init__(read_only=True, source="*", allow_null=allow_null)
        self.part = part

    def to_representation(self, row: Any) -> dict[str, Any] | None:
        kind, key, name = (getattr(row, f"{self.part}_{each}") for each in ("kind", "id", "name"))
        return {"kind": kind, "id": key and str(key), "name": name} if kind else None


@extend_schema_field({**configuration.TOOLS_SHAPE, "type": "array"})  # Nullable is added.
class ToolsField(serializers.JSONField):
    """An allow-list of tools: null falls back, [] is none, ["*"] all."""


@extend_schema_field(configuration.APPROVAL_REQUIRED_SHAPE)
class ApprovalRequiredField(serializers.JSONField):
    """Calls of tools that need a person: names of tools, or tools with patterns of arguments."""

    def __init__(self) -> None:
        super().__init__(
            required=False,
            validators=[configuration.check_approval_required],
            help_text="Calls that a person has to approve before they run: a tool's name, or "
            '`{"tool": "Bash", "arguments": {"command": "*git push*"}}`, in which `*` stands for '
            "anything. Those of the agent and of its board both hold. A pattern sees what the "
            "model wrote, and not what a shell makes of it; to be sure, name the tool alone. "
            "Calls of workers outside are theirs to hold.",
        )


@extend_schema_field(configuration.MODEL_SETTINGS_SHAPE)
class ModelSettingsField(serializers.JSONField):
    """How a model is reached."""


@extend_schema_field(configuration.ACTIONS_SHAPE)
class ActionsField(serializers.JSONField):
    """What an agent can be asked by name."""


@extend_schema_field(configuration.HOOKS_SHAPE)
class HooksField(serializers.JSONField):
    """Functions that are called before and after each tool call, by dotted path."""


def slug_field() -> serializers.SlugField:
    """A slug that may be left out; then one is made from the name."""
    return serializers.SlugField(required=False, max_length=80, validators=[slugs.check_slug])


def limit_field(lowest: int = 1) -> serializers.IntegerField:
    """A whole number, or null for no limit."""
    return serializers.IntegerField(
        required=False, allow_null=True, min_value=lowest, max_value=LARGEST_INTEGER
    )


class OrganizationSerializer(KnownModelFieldsOnly):
    """A tenant as its members see it."""

    slug = slug_field()
    max_concurrent = limit_field()

    class Meta:
        model = Organization
        fields = ["id", "name", "slug", "max_concurrent", "created_at"]


class MemberSerializer(KnownModelFieldsOnly):
    """A person's membership; `username` says whose, and cannot be changed."""

    user = serializers.UUIDField(source="user_id", read_only=True)
    username = serializers.SlugRelatedField(
        source="user", slug_field="username", queryset=User.objects.filter(is_active=True)
    )
    full_name = serializers.CharField(source="user.get_full_name", read_only=True)

    class Meta:
        model = Membership
        fields = ["id", "user", "username", "full_name", "role", "created_at"]
        extra_kwargs = {"role": {"required": True}}


class MemberChangeSerializer(KnownFieldsOnly):
    """The one thing that changes about a member."""

    of_requests = {**KnownFieldsOnly.of_requests, "required": ["role"]}

    role = serializers.ChoiceField(choices=Membership._meta.get_field("role").choices or [])


class KeySerializer(KnownModelFieldsOnly):
    """An integration key without its secret."""

    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=Scope.choices), required=False, default=list
    )
    created_by = serializers.UUIDField(source="created_by_id", read_only=True, allow_null=True)

    class Meta:
        model = IntegrationKey
        fields = [
            "id",
            "name",
            "prefix",
            "role",
            "scopes",
            "created_by",
            "created_at",
            "expires_at",
            "revoked_at",
            "last_used_at",
        ]
        read_only_fields = ["prefix", "created_at", "revoked_at", "last_used_at"]
        extra_kwargs = {"name": {"required": True, "allow_blank": False}}

    def validate_expires_at(self, value: Any) -> Any:
        if value is not None and value <= timezone.now():
            raise serializers.ValidationError("This time has passed.", code="in_the_past")
        return value

    def validate_scopes(self, value: list[str]) -> list[str]:
        return sorted(set(value))


class NewKeySerializer(KeySerializer):
    """A key that was just created; `key` is shown this once, and not in a replayed answer."""

    key = serializers.CharField(read_only=True, required=False)

    class Meta(KeySerializer.Meta):
        fields = [*KeySerializer.Meta.fields, "key"]


class NewTokenSerializer(serializers.ModelSerializer[AgentToken]):
    """A token that was just made; `token` is shown this once, and not in a replayed answer."""

    token = serializers.CharField(read_only=True, required=False)

    class Meta:
        model = AgentToken
        fields = ["id", "prefix", "created_at", "expires_at", "token"]
        read_only_fields = fields


class PresenceField(serializers.ChoiceField):
    """The computed status of an agent (see `agents.presence`)."""

    def __init__(self) -> None:
        super().__init__(choices=Presence.choices, read_only=True, source="*")

    def to_representation(self, value: Any) -> str:
        return presence_of(value)


class TenantGatewayField(serializers.PrimaryKeyRelatedField[Gateway]):
    """A gateway of the caller's organization, by id; another's does not exist."""

    def get_queryset(self) -> "models.QuerySet[Gateway]":
        caller = getattr(self.context.get("request"), "auth", None)
        return Gateway.objects.filter(organization=getattr(caller, "organization", None))


class AgentSerializer(KnownModelFieldsOnly):
    """An agent's configuration; its soul is read at `/agents/{id}/soul`."""

    slug = slug_field()
    kind = serializers.CharField(
        required=False,
        max_length=80,
        validators=[configuration.check_kind],
        help_text="One of `/agent-kinds`, `external`, `remote`, or `remote:` and a name.",
    )
    model = serializers.CharField(
        required=False, allow_blank=True, max_length=200, validators=[configuration.check_model]
    )
    model_settings = ModelSettingsField(
        required=False, validators=[configuration.check_model_settings]
    )
    soul = serializers.CharField(
        required=False, allow_blank=True, trim_whitespace=False, write_only=True
    )
    tools = ToolsField(required=False, allow_null=True, validators=[configuration.check_tools])
    approval_required = ApprovalRequiredField()
    actions = ActionsField(required=False, validators=[configuration.check_actions])
    hooks = HooksField(
        required=False,
        validators=[configuration.check_hooks],
        help_text="Functions `package.module:function` of the modules of SIGNALBOX_MODULES: "
        "those of `pre_tool` may deny a call, those of `post_tool` change what is shown of it.",
    )
    max_turns = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=500
    )
    max_concurrency = limit_field()
    token_budget = limit_field()
    seconds_budget = limit_field()
    status = PresenceField()
    gateway = TenantGatewayField(queryset=Gateway.objects.all(), required=False, allow_null=True)

    class Meta:
        model = Agent
        fields = [
            "id",
            "name",
            "slug",
            "description",
            "kind",
            "model",
            "model_settings",
            "soul",
            "tools",
            "approval_required",
            "actions",
            "hooks",
            "max_turns",
            "max_concurrency",
            "token_budget",
            "seconds_budget",
            "gateway",
            "status",
            "is_paused",
            "last_seen_at",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["is_paused", "last_seen_at", "created_at", "updated_at"]


class GatewaySerializer(KnownModelFieldsOnly):
    """How agents outside Signalbox, and people, are reached."""

    url = serializers.CharField(
        required=False,
        max_length=2000,
        validators=[check_url],
        help_text="Where a gateway of kind webhook posts messages to; no other kind has one.",
    )

    class Meta:
        model = Gateway
        fields = ["id", "name", "kind", "url", "is_enabled", "created_at", "updated_at"]
        read_only_fields = ["created_at", "updated_at"]


class GatewayWithSecretSerializer(GatewaySerializer):
    """A gateway that was just given its secret, which is shown this once."""

    secret = serializers.CharField(
        read_only=True,
        required=False,
        allow_null=True,
        help_text="Signs what is posted, by Standard Webhooks; null where nothing is.",
    )

    class Meta(GatewaySerializer.Meta):
        fields = [*GatewaySerializer.Meta.fields, "secret"]


class GatewayCheckSerializer(serializers.Serializer[Any]):
    """Whether the other side of a gateway answers."""

    ok = serializers.BooleanField()
    problem = serializers.CharField(help_text="What is wrong; empty where nothing is.")


class MessageSerializer(serializers.ModelSerializer[Message]):
    """One thing that was said, and how far it came."""

    sender = ActorField("sender")
    recipient = serializers.UUIDField(source="recipient_id", allow_null=True)
    board = serializers.UUIDField(source="board_id", allow_null=True)
    task = serializers.UUIDField(source="task_id", allow_null=True)
    execution = serializers.UUIDField(source="execution_id", allow_null=True)

    class Meta:
        model = Message
        fields = [
            "id",
            "kind",
            "audience",
            "state",
            "sender",
            "recipient",
            "recipient_name",
            "content",
            "data",
            "answer",
            "failure",
            "attempts",
            "board",
            "task",
            "execution",
            "correlation_id",
            "created_at",
            "delivered_at",
            "acknowledged_at",
        ]
        read_only_fields = fields


class SoulSerializer(KnownModelFieldsOnly):
    """One version of an agent's standing instructions."""

    content = serializers.CharField(trim_whitespace=False)

    class Meta:
        model = SoulVersion
        fields = ["number", "content", "reason", "source_url", "author_name", "created_at"]
        read_only_fields = ["number", "author_name", "created_at"]


class ActivitySerializer(serializers.ModelSerializer[Activity]):
    """One line of the permanent record; the things that it names may be gone."""

    actor = ActorField()
    agent = serializers.UUIDField(source="agent_id", allow_null=True)
    board = serializers.UUIDField(source="board_id", allow_null=True)
    task = serializers.UUIDField(source="task_id", allow_null=True)
    execution = serializers.UUIDField(source="execution_id", allow_null=True)

    class Meta:
        model = Activity
        fields = [
            "id",
            "type",
            "actor",
            "agent",
            "board",
            "task",
            "execution",
            "data",
            "created_at",
        ]


class TenantAgentField(serializers.PrimaryKeyRelatedField[Agent]):
    """An agent of the caller's organization, by id; another's does not exist."""

    def get_queryset(self) -> "models.QuerySet[Agent]":
        caller = getattr(self.context.get("request"), "auth", None)
        return Agent.objects.filter(organization=getattr(caller, "organization", None))


class KindSerializer(serializers.Serializer[Any]):
    """A kind of agent that this installation can carry on, as its code declares it."""

    name = serializers.CharField()
    version = serializers.CharField(help_text="Empty for the kind that is built in.")
    description = serializers.CharField()
    tags = serializers.ListField(child=serializers.CharField())
    timeout = serializers.FloatField(allow_null=True, help_text="Seconds.")
    cancellable = serializers.BooleanField()
    takes_messages = serializers.BooleanField(
        help_text="Whether it takes a turn for what people say to it while it runs."
    )
    input_schema = serializers.JSONField(help_text="JSON Schema of `with`.")
    output_schema = serializers.JSONField(help_text="JSON Schema of the output.")
