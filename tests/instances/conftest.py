from collections.abc import Iterator

import pytest

from devstack import ports
from nodes import transport
from tests.local_node import SLOTS, Machine, make_control_plane_key


@pytest.fixture
def machine(tmp_path) -> Iterator[Machine]:
    make_control_plane_key()
    machine = Machine(tmp_path / "machine", first_port=ports.free() - 3 * SLOTS)
    machine.boot()
    yield machine
    transport.close()
    machine.shut_down()
