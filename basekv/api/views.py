"""The operations of the v1 API. Each is a door: it reads the input, calls one verb, answers."""

from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.scopes import Scope
from basekv.api import answers, describe, inputs, wire
from basekv.api.admission import BearerAuthentication, DailyQuota, MayCall, Rule, announce, rule_of
from billing.admission import Caller
from instances import idempotency, lifecycle
from instances.lifecycle import Mode
from instances.models import Instance

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

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.perform_authentication(request)
        self.check_permissions(request)
        self.check_throttles(request)
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:  # type: ignore[override]
        caller = request.auth
        if caller is not None and rule_of(self).counted:
            announce(response, caller)
        response["Cache-Control"] = "no-store"
        return super().finalize_response(request, response, *args, **kwargs)


class IdentityViewSet(ApiView):
    rules: ClassVar[dict[str, Rule]] = {"whoami": Rule()}

    @describe.whoami
    def whoami(self, request: Request) -> Response:
        return Response(answers.whoami(request.auth))


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

    @describe.list_instances
    def list(self, request: Request) -> Response:
        caller: Caller = request.auth
        instances = lifecycle.owned_by(caller.account_id)
        return Response(answers.listed(instances, inputs.page(request), caller))

    @describe.create_instance
    def create(self, request: Request) -> Response:
        caller: Caller = request.auth
        key = inputs.idempotency_key(request)
        wanted = inputs.new_instance(request)

        def answer() -> bytes:
            instance = lifecycle.create(
                account_id=caller.account_id,
                requested_by=caller.token_id,
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
        instances = lifecycle.owned_by(request.auth.account_id)
        return Response(answers.one(instances, inputs.instance_id(id)))

    @describe.delete_instance
    def destroy(self, request: Request, id: str) -> Response:
        force = inputs.flag(request, "force")
        instance = found(request, id)
        mode = lifecycle.delete(instance, requested_by=request.auth.token_id, force=force)
        if mode is Mode.ASYNC:
            return Response(answers.status(instance, request.auth), status=202)
        return Response(answers.deleted(instance, request.auth, mode))

    @describe.restart_instance
    def restart(self, request: Request, id: str) -> Response:
        instance = found(request, id)
        lifecycle.restart(instance, requested_by=request.auth.token_id)
        return Response(answers.status(instance, request.auth), status=202)

    @describe.list_operations
    def operations(self, request: Request, id: str) -> Response:
        instance = found(request, id)
        return Response(answers.operations(instance, request.auth))

    @describe.get_credentials
    def credentials(self, request: Request, id: str) -> Response:
        return Response(answers.credentials(found(request, id)))

    @describe.reveal_password
    def reveal(self, request: Request, id: str) -> Response:
        instance = found(request, id)
        return Response(answers.revealed(instance, lifecycle.password(instance)))

    @describe.rotate_password
    def rotate(self, request: Request, id: str) -> Response:
        instance = found(request, id)
        password = lifecycle.rotate(instance, requested_by=request.auth.token_id)
        return Response(answers.rotated(instance, password), status=202)


def found(request: Request, id: str) -> Instance:
    return lifecycle.get(request.auth.account_id, inputs.instance_id(id))
