"""The shapes of the API: input is checked here, answers are documented here (answers.py writes them).

Answer fields are `required=False` where the contract does not require them: what is published is the contract.
"""

import unicodedata
from typing import Any

from rest_framework import serializers

from instances.states import Kind, LogLevel, OperationState, Protocol, Status


class Text(serializers.CharField):
    """Text as JSON has it: a number is not a text, and control characters are none."""

    default_error_messages = {"control": "Leave out control characters."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        if any(unicodedata.category(character) == "Cc" for character in data):
            self.fail("control")
        text: str = super().to_internal_value(data)
        return text


class CreateInstanceSerializer(serializers.Serializer[Any]):
    name = Text(min_length=2, max_length=100, help_text="2 to 100 characters; need not be unique.")
    region = Text(required=False, help_text="A region's slug. Default: the least-loaded node of any region.")
    protocol = serializers.ChoiceField(Protocol.choices, required=False, default=Protocol.REDIS)
    log_level = Text(required=False, default=LogLevel.INFO, help_text=f"One of {', '.join(LogLevel.values)}.")

    def validate_log_level(self, value: str) -> str:
        if value not in LogLevel.values:
            raise serializers.ValidationError(f"Choose one of {', '.join(LogLevel.values)}.")
        return value


class PlanLimitsSerializer(serializers.Serializer[Any]):
    maxDatabases = serializers.IntegerField(allow_null=True, required=False)  # noqa: N815
    maxStorageMb = serializers.IntegerField(allow_null=True, required=False)  # noqa: N815
    maxRequestsPerDay = serializers.IntegerField(allow_null=True, required=False)  # noqa: N815


class UsageSerializer(serializers.Serializer[Any]):
    current_count = serializers.IntegerField(required=False)
    limit_count = serializers.IntegerField(allow_null=True, required=False)
    usage_date = serializers.DateField(required=False)


class ErrorResponseSerializer(serializers.Serializer[Any]):
    error = serializers.CharField(help_text="One sentence that a person can act on.")
    code = serializers.CharField(required=False, help_text="Stable; branch on this.")
    fields = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="Of invalid input: what is wrong with which field.",
    )
    scope = serializers.CharField(required=False, help_text="The scope that the token lacks.")
    usage = UsageSerializer(required=False)


class PlanSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(required=False)
    name = serializers.CharField(required=False)
    limits = PlanLimitsSerializer(required=False)


class PortsSerializer(serializers.Serializer[Any]):
    """A port is null where the instance does not speak that protocol."""

    redis = serializers.IntegerField(allow_null=True, required=False)
    memcached = serializers.IntegerField(allow_null=True, required=False)
    http = serializers.IntegerField(allow_null=True, required=False)


class WhoAmISerializer(serializers.Serializer[Any]):
    account_id = serializers.CharField()
    service_account_id = serializers.CharField()
    token_id = serializers.CharField()
    token_prefix = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())
    plan = PlanSerializer(required=False)
    usage = UsageSerializer(required=False)


class InstanceSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(required=False)
    name = serializers.CharField(required=False)
    status = serializers.ChoiceField(
        [choice for choice in Status.choices if choice[0] != Status.DELETED], required=False
    )
    protocol = serializers.ChoiceField(Protocol.choices, required=False)
    region = serializers.CharField(required=False)
    node_id = serializers.CharField(required=False)
    host = serializers.CharField(required=False)
    ports = PortsSerializer(required=False)
    auth_required = serializers.BooleanField(required=False)
    log_level = serializers.ChoiceField(LogLevel.choices, required=False)
    storage_mb = serializers.IntegerField(required=False)
    created_at = serializers.DateTimeField(required=False)
    updated_at = serializers.DateTimeField(required=False)


class InstanceListSerializer(serializers.Serializer[Any]):
    instances = InstanceSerializer(many=True)
    plan = PlanSerializer(required=False)
    usage = UsageSerializer(required=False)
    next_cursor = serializers.CharField(
        allow_null=True,
        required=False,
        help_text="With `limit`: where the next page starts; null on the last.",
    )


class CreatedSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    status = serializers.CharField()
    node_id = serializers.CharField()
    region = serializers.CharField(required=False)
    protocol = serializers.CharField()
    auth_required = serializers.BooleanField(required=False)
    usage = UsageSerializer(required=False)


class DeletedSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    status = serializers.ChoiceField([Status.DELETED.value])
    usage = UsageSerializer(required=False)
    mode = serializers.ChoiceField(["immediate", "fallback"], required=False)
    reason = serializers.CharField(required=False)


class DeletingSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    status = serializers.ChoiceField([Status.DELETING.value])
    usage = UsageSerializer(required=False)


class RestartingSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    status = serializers.ChoiceField([Status.RESTARTING.value])
    usage = UsageSerializer(required=False)


class CredentialsSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    protocol = serializers.CharField()
    node_id = serializers.CharField()
    host = serializers.CharField()
    ports = PortsSerializer()
    username = serializers.CharField(
        required=False, help_text="The name that goes with the password, on every protocol."
    )
    password_set = serializers.BooleanField()
    password_masked = serializers.CharField(allow_null=True, required=False)


class RevealedSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    protocol = serializers.CharField()
    host = serializers.CharField()
    redis_port = serializers.IntegerField(allow_null=True, required=False)
    username = serializers.CharField(
        required=False, help_text="The name that goes with the password, on every protocol."
    )
    password = serializers.CharField()


class RotatedSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    status = serializers.ChoiceField([Status.RESTARTING.value])
    protocol = serializers.CharField()
    host = serializers.CharField()
    redis_port = serializers.IntegerField(allow_null=True, required=False)
    username = serializers.CharField(
        required=False, help_text="The name that goes with the password, on every protocol."
    )
    password = serializers.CharField()
    message = serializers.CharField(required=False)


class OperationSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    kind = serializers.ChoiceField(Kind.choices)
    state = serializers.ChoiceField(OperationState.choices)
    token_prefix = serializers.CharField(
        allow_null=True, help_text="The token that asked; null when BaseKV itself or an operator did."
    )
    attempts = serializers.IntegerField()
    error = serializers.CharField(allow_null=True, help_text="Why the last attempt did not succeed.")
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class OperationListSerializer(serializers.Serializer[Any]):
    operations = OperationSerializer(many=True)
    usage = UsageSerializer(required=False)
