"""Programs that come inside Python wheels. The packages are not imported: only their files are wanted."""

import os
from importlib.util import find_spec
from pathlib import Path

from devstack.errors import StackError


def program(wheel: str, pattern: str) -> str:
    """Raises StackError."""
    found = find_spec(wheel)
    for folder in (found.submodule_search_locations if found else None) or []:
        for path in Path(folder).glob(pattern):
            if os.access(path, os.X_OK):
                return str(path)
    raise StackError(f"{Path(pattern).name} is missing from the package {wheel}: `rm -r .venv` and start again.")
