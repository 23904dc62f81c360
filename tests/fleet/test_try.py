import time, subprocess
import pytest
from tests.fleet.enrolling import enroll
from tests import factories
from nodes.models import Node
from nodes import transport
from nodes.health import endpoint
from instances import lifecycle, provisioning
pytestmark = pytest.mark.django_db
def test_x(fleet):
    m = fleet.machines[0]
    print(enroll(m, **{"dry-run": True}))
    print(enroll(m))
    print(enroll(m))
    for n in range(4):
        i = lifecycle.create(account_id=factories.customer().account.pk, requested_by=None, max_databases=None, max_storage_mb=16, name="db", region=None, protocol="redis", log_level="info")
        t=time.time(); provisioning.carry_out(i.operations.latest("created_at").pk); print(time.time()-t)
        i.refresh_from_db(); print(i.status, i.operations.latest("created_at").error)
    node=Node.objects.get()
    d=transport.call(endpoint(node), {"verb":"logs","instance":str(i.pk),"lines":30}); print("\n".join(d["lines"]))
    print(m.root(f"ps auxf | tail -30; systemctl status basekv-redis@{i.pk} --no-pager; systemd-analyze security basekv-redis@{i.pk}.service --no-pager; ls -laR /var/lib/basekv /var/lib/private; journalctl -n 30 --no-pager"))
    for n in range(3):
        lifecycle.restart(i, requested_by=None)
        t=time.time(); provisioning.carry_out(i.operations.latest("created_at").pk); print("restart", time.time()-t)
        i.refresh_from_db(); print(i.status, i.operations.latest("created_at").error)
    print(m.root(f"systemctl show basekv-redis@{i.pk} -p MemoryMax,CPUWeight,MemoryCurrent"))
    for n in range(3):
        t=time.time(); transport.call(endpoint(node), {"verb":"probe"}); print("probe", time.time()-t)
    lifecycle.delete(i, requested_by=None, force=False)
    t=time.time(); provisioning.carry_out(i.operations.latest("created_at").pk); print("delete", time.time()-t)
    i.refresh_from_db(); print(i.status, i.operations.latest("created_at").error)
    print(m.root("ls -R /var/lib/basekv-redis /var/lib/private /etc/systemd/system.control; ls /run/systemd"))
