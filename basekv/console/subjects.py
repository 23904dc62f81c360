"""Where what an alert is about can be looked at: it is kept as text, since an alert outlives it."""

from django.apps import apps
from django.urls import reverse

APPS = {"node": "nodes", "region": "nodes", "instance": "instances", "operation": "instances", "orphan": "instances"}
APPS |= {"account": "accounts"}


def address_of(subject_type: str, subject_id: str) -> str:
    """Empty for what has no page."""
    app = APPS.get(subject_type)
    if app is None or not apps.get_model(app, subject_type)._default_manager.filter(pk=subject_id).exists():
        return ""
    return reverse(f"admin:{app}_{subject_type}_change", args=[subject_id])
