from collections.abc import Iterator

import pytest

from nodes import transport
from tests.local_node import Machine


@pytest.fixture
def machine(tmp_path) -> Iterator[Machine]:
    machine = Machine(tmp_path / "machine")
    machine.boot()
    yield machine
    transport.close()
    machine.shut_down()
    machine.give_back()
