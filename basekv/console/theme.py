"""How the console looks and where its pages are: the theme's settings. Everything is served by us."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def item(title: str, icon: str, model: str, permission: str | None = None) -> dict[str, Any]:
    """One line of the sidebar, for whoever may see what is behind it."""
    app, name = model.split(".")
    wanted = permission or f"{app}.view_{name}"
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": lambda request: request.user.has_perm(wanted),
    }


def superuser(request: HttpRequest) -> bool:
    return request.user.is_superuser


NAVIGATION: list[dict[str, Any]] = [
    {"items": [{"title": "Dashboard", "icon": "dashboard", "link": reverse_lazy("admin:index")}]},
    {
        "title": "Fleet",
        "items": [item("Nodes", "dns", "nodes.node"), item("Regions", "public", "nodes.region")],
    },
    {
        "title": "Databases",
        "items": [
            item("Instances", "database", "instances.instance"),
            item("Operations", "sync", "instances.operation"),
            item("Events", "history", "instances.event"),
            item("Orphans", "help", "instances.orphan"),
        ],
    },
    {
        "title": "Customers",
        "items": [
            item("Accounts", "apartment", "accounts.account"),
            item("Service accounts", "smart_toy", "accounts.serviceaccount"),
            item("Tokens", "vpn_key", "accounts.token"),
            item("Subscriptions", "receipt_long", "billing.subscription"),
            item("Plans", "sell", "billing.plan"),
            item("Usage", "bar_chart", "billing.usage"),
        ],
    },
    {
        "title": "Safety",
        "items": [
            item("Alerts", "notifications", "instances.alert"),
            item("Audit trail", "policy", "accounts.auditentry"),
            {**item("Users", "group", "accounts.user"), "permission": superuser},
        ],
    },
]

# Teal, dark enough for white text and light enough on black.
PRIMARY = {
    "50": "oklch(98.4% .014 180.7)",
    "100": "oklch(95.3% .051 180.8)",
    "200": "oklch(91% .096 180.4)",
    "300": "oklch(85.5% .138 181.1)",
    "400": "oklch(77.7% .152 181.9)",
    "500": "oklch(70.4% .14 182.5)",
    "600": "oklch(51.1% .096 186.4)",
    "700": "oklch(46.5% .086 187.5)",
    "800": "oklch(43.7% .078 188.2)",
    "900": "oklch(38.6% .063 188.4)",
    "950": "oklch(27.7% .046 192.5)",
}

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "BaseKV",
    "SITE_HEADER": "BaseKV",
    "SITE_SUBHEADER": "The fleet and its customers",
    "SITE_SYMBOL": "database",
    "SITE_URL": None,
    "SHOW_HISTORY": False,  # Django's own history: the audit trail has it all
    "SHOW_VIEW_ON_SITE": False,
    "COLORS": {"primary": PRIMARY},
    "STYLES": [lambda _: static("console/console.css")],
    "SCRIPTS": [lambda _: static("console/console.js")],
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _: static("console/icon.svg")}],
    "DASHBOARD_CALLBACK": "basekv.console.dashboard.context",
    "ACCOUNT": {"navigation": [{"title": "Second factor", "link": reverse_lazy("second_factor")}]},
    "SIDEBAR": {"show_search": False, "show_all_applications": False, "navigation": NAVIGATION},
}
