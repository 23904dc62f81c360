"""Who is there from the beginning: plans, a region, a demo account with a token, an operator."""

from contextlib import suppress

from django.contrib.auth.hashers import make_password

from accounts import registry, tokens
from accounts.actors import SYSTEM
from accounts.errors import NameTaken, ServiceAccountDisabled
from accounts.models import User
from accounts.scopes import Scope
from billing import plans
from billing.admission import Outcome, admit
from devstack.environment import OPERATOR
from devstack.node import REGION
from devstack.state import State
from nodes.models import Region

ACCOUNT, PLAN, SERVICE_ACCOUNT = "demo", "unlimited", "demo-agent"


def operator_hash(state: State) -> str:
    """Kept: a hash is slow on purpose, and a new one would sign the operator out at every start."""
    return state.kept("secrets/operator-hash", lambda: make_password(state.secret("operator")))


def seed(state: State) -> None:
    plans.seed(by=SYSTEM)
    Region.objects.get_or_create(slug=REGION, defaults={"name": "Local"})
    # Signs in with what `env` says, whatever became of it meanwhile.
    User.objects.update_or_create(
        email=OPERATOR,
        defaults={"is_staff": True, "is_superuser": True, "is_active": True, "password": operator_hash(state)},
    )
    open_account()
    # The server keeps only a digest of a token, so its text is kept here.
    if not accepts(state.kept("secrets/token", issue_token)):
        with suppress(ServiceAccountDisabled):
            state.keep("secrets/token", issue_token())


def open_account() -> None:
    # One that is there is what its operator made of it.
    with suppress(NameTaken):
        plans.open_account(ACCOUNT, plans.find(PLAN), by=SYSTEM)


def issue_token() -> str:
    _, text = tokens.issue_for(registry.find(ACCOUNT), SERVICE_ACCOUNT, scopes=Scope.values, by=SYSTEM)
    return text


def accepts(token: str) -> bool:
    """False where a new token would help: a suspended account, say, would refuse that too."""
    presented = tokens.parse(token)
    caller = admit(presented, scope=None, counted=False) if presented else None
    return caller is not None and caller.outcome not in {Outcome.EXPIRED, Outcome.REVOKED}
