"""The operations of the v1 API. Each is a door: it reads the input, calls one verb, answers."""

from typing import Any, ClassVar, cast

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts import actors
from accounts.actors import Actor
from accounts.scopes import Scope
from basekv.api import answers, describe, inputs, wire
from basekv.api.admission import BearerAuthentication, DailyQuota, MayCall, Rule, announce, rule_of
from billing.admission import Caller, Outcome
from instances import idempotency, lifecycle
from instances.lifecycle import Mode
from instances.models import Instance

COUNTED = {Outcome.ADMITTED, Outcome.QUOTA}
READ, WRITE = Scope.INSTANCES_READ, Scope.INSTANCES_WRITE


class ApiView(ViewSet):
    """Checks in the contract's order, before anything else of the request is looked at: 401, 403, 429, the rest."""

    rules: ClassVar[dict[str, Rule]]
    authentication_classes = [BearerAuthentication]
    permission_classes = [MayCall]
    throttle_classes = [DailyQuota]
    parser_classes = [wire.JSONParser]
    renderer_classes = [wire.JSONRenderer]
    http_method_names = ["get", "head", "post", "delete"]
    format_kwarg = None

    @property
    def caller(self) -> Caller:
        return cast(Caller, self.request.auth)

    @property
    def actor(self) -> Actor:
        return actors.token(self.request, token_id=self.caller.token_id, prefix=self.caller.token_prefix)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.perform_authentication(request)
        self.check_permissions(request)
        self.check_throttles(request)
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        # Not request.auth: after a failure that would authenticate again.
        caller: Caller | None = getattr(request, "_auth", None)
        if caller is not None and caller.outcome in COUNTED and rule_of(self).counted:
            announce(response, caller)
        response["Cache-Control"] = "no-store"
        return super().finalize_response(request, response, *args, **kwargs)


class IdentityViewSet(ApiView):
    rules: ClassVar[dict[str, Rule]] = {"whoami": Rule()}

    @describe.whoami
    def whoami(self, request: Request) -> Response:
        return Response(answers.whoami(self.caller))


class InstanceViewSet(ApiView):
    rules: ClassVar[dict[str, Rule]] = {
        "list": Rule(READ),
        "create": Rule(WRITE),
        "retrieve": Rule(READ),
        "destroy": Rule(WRITE),
        "restart": Rule(WRITE),
        "operations": Rule(READ),
        "credentials": Rule(READ, counted=False),
        "reveal": Rule(WRITE, counted=False),
        "rotate": Rule(WRITE, counted=False),
    }

    def find(self, id: str) -> Instance:
        return lifecycle.get(self.caller.account_id, inputs.instance_id(id))

    @describe.list_instances
    def list(self, request: Request) -> Response:
        instances = lifecycle.owned_by(self.caller.account_id)
        return Response(answers.listed(instances, inputs.page(request), self.caller))

    @describe.create_instance
    def create(self, request: Request) -> Response:
        caller, key = self.caller, inputs.idempotency_key(request)
        wanted = inputs.new_instance(request)

        def answer() -> bytes:
            instance = lifecycle.create(
                account_id=caller.account_id,
                by=self.actor,
                max_databases=caller.max_databases,
                max_storage_mb=caller.max_storage_mb,
                **wanted,
            )
            return wire.dumps(answers.created(instance, caller))

        if key is None:
            return Response(answer(), status=201)
        body, replayed = idempotency.once(
            account_id=caller.account_id, key=key, request=wire.canonical(request.data), answer=answer
        )
        return Response(body, status=201, headers={"Idempotent-Replayed": "true"} if replayed else None)

    @describe.get_instance
    def retrieve(self, request: Request, id: str) -> Response:
        instances = lifecycle.owned_by(self.caller.account_id)
        return Response(answers.one(instances, inputs.instance_id(id)))

    @describe.delete_instance
    def destroy(self, request: Request, id: str) -> Response:
        force = inputs.flag(request, "force")
        instance = self.find(id)
        mode = lifecycle.delete(instance, by=self.actor, force=force)
        if mode is Mode.ASYNC:
            return Response(answers.status(instance, self.caller), status=202)
        return Response(answers.deleted(instance, self.caller, mode))

    @describe.restart_instance
    def restart(self, request: Request, id: str) -> Response:
        instance = self.find(id)
        lifecycle.restart(instance, by=self.actor)
        return Response(answers.status(instance, self.caller), status=202)

    @describe.list_operations
    def operations(self, request: Request, id: str) -> Response:
        instance = self.find(id)
        return Response(answers.operations(instance, self.caller))

    @describe.get_credentials
    def credentials(self, request: Request, id: str) -> Response:
        return Response(answers.credentials(self.find(id)))

    @describe.reveal_password
    def reveal(self, request: Request, id: str) -> Response:
        instance = self.find(id)
        return Response(answers.revealed(instance, lifecycle.reveal(instance, by=self.actor)))

    @describe.rotate_password
    def rotate(self, request: Request, id: str) -> Response:
        instance = self.find(id)
        password = lifecycle.rotate(instance, by=self.actor)
        return Response(answers.rotated(instance, password), status=202)
