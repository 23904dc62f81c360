"""The places that customers can choose."""

from django.db import transaction

from accounts import audit
from accounts.actors import Actor
from nodes.models import Region


@transaction.atomic
def add(slug: str, name: str, *, by: Actor) -> tuple[Region, bool]:
    """Adds one, or renames the one that is there; True if it was added."""
    before = Region.objects.filter(pk=slug).values("name").first()
    region, added = Region.objects.update_or_create(slug=slug, defaults={"name": name})
    action = "region.create" if added else "region.change"
    audit.record(actor=by, action=action, subject=region, before=before, after={"name": name})
    return region, added
