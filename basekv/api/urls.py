"""The v1 paths: the contract's, without trailing slashes."""

from django.urls import path

from basekv.api.views import IdentityViewSet as Identity
from basekv.api.views import InstanceViewSet as Instances

urlpatterns = [
    path("whoami", Identity.as_view({"get": "whoami"})),
    path("instances", Instances.as_view({"get": "list", "post": "create"})),
    path("instances/<str:id>", Instances.as_view({"get": "retrieve", "delete": "destroy"})),
    path("instances/<str:id>/restart", Instances.as_view({"post": "restart"})),
    path("instances/<str:id>/operations", Instances.as_view({"get": "operations"})),
    path("instances/<str:id>/credentials", Instances.as_view({"get": "credentials"})),
    path("instances/<str:id>/credentials/reveal", Instances.as_view({"post": "reveal"})),
    path("instances/<str:id>/credentials/rotate", Instances.as_view({"post": "rotate"})),
]
