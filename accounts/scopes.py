"""What a token may do. The API's operations name the scope that they need; see basekv/api/views.py."""

from django.db.models import TextChoices


class Scope(TextChoices):
    INSTANCES_READ = "db.instances.read", "Read instances"
    INSTANCES_WRITE = "db.instances.write", "Create, change and delete instances; see their passwords"
