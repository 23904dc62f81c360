"""Where Django looks for the console's pages. They are here and not in the apps because a page shows more than its own
floor: an account's has its plan and its databases on it."""

from django.contrib import admin
from django.contrib.auth.models import Group

from basekv.console.pages import (  # noqa: F401  # registers them
    accounts,
    alerts,
    audit_trail,
    events,
    instances,
    nodes,
    operations,
    orphans,
    plans,
    regions,
    service_accounts,
    subscriptions,
    tokens,
    usage,
    users,
)

# A role is what accounts/roles.py says; the next migrate would undo what was clicked together here.
admin.site.unregister(Group)
