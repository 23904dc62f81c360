"""Which tests run in one process, where they share what is expensive to set up."""

from xdist.scheduler import LoadScopeScheduling

# Those with the most tests are begun first.
TOGETHER = (
    "tests/fleet/",
    "tests/faults/",
    "tests/devstack/",
    "tests/api/test_schemathesis.py",
    "tests/test_secrets.py",
)


class Scheduling(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return next((part for part in TOGETHER if nodeid.startswith(part)), nodeid)
