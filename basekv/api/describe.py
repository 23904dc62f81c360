"""What the OpenAPI document says of each operation, in the contract's words. One decorator an operation."""

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from basekv.api import serializers as shapes
from basekv.api.inputs import LARGEST_PAGE, PRINTABLE
from basekv.api.schema import ERRORS, error, errors

ID = OpenApiParameter("id", str, OpenApiParameter.PATH, required=True)

whoami = extend_schema(
    operation_id="whoami",
    tags=["identity"],
    summary="Get token identity and quota context",
    description="Validates bearer token and returns account/service-account identity with plan and daily usage.",
    responses={
        200: OpenApiResponse(shapes.WhoAmISerializer, description="Token is valid"),
        **errors(429, s403="No active subscription", s429="Daily quota exceeded"),
    },
)

list_instances = extend_schema(
    operation_id="listInstances",
    tags=["instances"],
    summary="List account instances",
    description="Returns all instances tied to subscriptions in the token account.",
    parameters=[
        OpenApiParameter(
            "limit",
            {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE},
            description="How many instances a page. Default: all at once.",
        ),
        OpenApiParameter("cursor", str, description="`next_cursor` of the page before, unchanged."),
    ],
    responses={
        200: OpenApiResponse(shapes.InstanceListSerializer, description="Instances returned"),
        **errors(400, 429, s429="Daily quota exceeded"),
    },
)

create_instance = extend_schema(
    operation_id="createInstance",
    tags=["instances"],
    summary="Create instance",
    description="Creates an instance on the least-loaded online node in the selected region.",
    parameters=[
        OpenApiParameter(
            "Idempotency-Key",
            {"type": "string", "pattern": f"^{PRINTABLE.pattern}$"},
            OpenApiParameter.HEADER,
            description="1 to 255 printable ASCII characters. Within 24 hours the same key and body answer the "
            "first response again, with `Idempotent-Replayed: true`, and create nothing.",
        )
    ],
    request=shapes.CreateInstanceSerializer,
    responses={
        201: OpenApiResponse(shapes.CreatedSerializer, description="Instance request accepted"),
        **errors(400, 413, 415),
        429: error(
            429,
            "Quota exceeded",
            {
                **ERRORS[429][1],
                "database_limit_reached": "The plan's limit of 2 databases is reached. Delete one, or choose a larger "
                "plan.",
            },
        ),
        503: error(
            503,
            "No available nodes",
            {
                "no_node_available": "No node can take the instance right now. Try another region, or again later.",
                **ERRORS[503][1],
            },
        ),
    },
)

get_instance = extend_schema(
    operation_id="getInstance",
    tags=["instances"],
    summary="Get instance",
    description="Returns one instance of the token account.",
    parameters=[ID],
    responses={
        200: OpenApiResponse(shapes.InstanceSerializer, description="Instance returned"),
        **errors(400, 404, 429),
    },
)

delete_instance = extend_schema(
    operation_id="deleteInstance",
    tags=["instances"],
    summary="Delete instance",
    description="Deletes an instance. Uses async deprovisioning by default, and may immediately remove control-plane "
    "state when node health is stale/offline or force=true.",
    parameters=[
        ID,
        OpenApiParameter(
            "force",
            bool,
            description="Force immediate control-plane deletion (skips asynchronous node deprovisioning).",
        ),
    ],
    responses={
        200: OpenApiResponse(shapes.DeletedSerializer, description="Instance removed from control plane immediately"),
        202: OpenApiResponse(shapes.DeletingSerializer, description="Delete request accepted"),
        **errors(400, 404, 429),
    },
)

restart_instance = extend_schema(
    operation_id="restartInstance",
    tags=["instances"],
    summary="Restart instance",
    description="Marks an instance for restart. The agent performs stop/start and updates status.",
    parameters=[ID],
    request=None,
    responses={
        202: OpenApiResponse(shapes.RestartingSerializer, description="Restart request accepted"),
        **errors(400, 404, 409, 429),
    },
)

list_operations = extend_schema(
    operation_id="listInstanceOperations",
    tags=["instances"],
    summary="List instance operations",
    description="What was asked of the instance, newest first: by which token, how it went, and when.",
    parameters=[ID],
    responses={
        200: OpenApiResponse(shapes.OperationListSerializer, description="Operations returned"),
        **errors(400, 404, 429),
    },
)

get_credentials = extend_schema(
    operation_id="getInstanceCredentialsMetadata",
    tags=["instances"],
    summary="Get credential metadata",
    description="Returns endpoint and masked password state for an instance. Does not return the plaintext password.",
    parameters=[ID],
    responses={
        200: OpenApiResponse(shapes.CredentialsSerializer, description="Credential metadata returned"),
        **errors(400, 404),
    },
)

reveal_password = extend_schema(
    operation_id="revealInstancePassword",
    tags=["instances"],
    summary="Reveal instance password",
    description="Returns the plaintext password for a single owned instance.",
    parameters=[ID],
    request=None,
    responses={
        200: OpenApiResponse(shapes.RevealedSerializer, description="Password returned"),
        **errors(400, 404),
        409: error(409, "No password configured", {"no_password": "This instance has no password."}),
    },
)

rotate_password = extend_schema(
    operation_id="rotateInstancePassword",
    tags=["instances"],
    summary="Rotate instance password",
    description="Generates a new instance password and requests a restart to apply it.",
    parameters=[ID],
    request=None,
    responses={
        202: OpenApiResponse(shapes.RotatedSerializer, description="Rotation requested"),
        **errors(400, 404, 409),
    },
)
