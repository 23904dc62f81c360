"""Packs nodes/agent/ into the one file that travels to the nodes. The same source gives the same bytes.

The file is a zip that Python runs: `python3 agent.pyz`. It holds every module twice, as source and compiled:
compiled for the Python of this process, so that a node with the same version need not do it for each request;
another version ignores that and compiles the source.

nodes/agent.lock has the digest of each release's source, so that an agent does not change without a new release.
`python -m nodes.packing` prints this release's line.
"""

import functools
import hashlib
import importlib.util
import io
import marshal
import runpy
import shlex
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).resolve().parent / "agent"
ENTRY = "from agent.__main__ import main\n\nmain()\n"
# The earliest that a zip can say.
TIMESTAMP = (1980, 1, 1, 0, 0, 0)
# PEP 552: never compare with the source; both travel together.
UNCHECKED_HASH = (1).to_bytes(4, "little")
# Without references between objects: those depend on what else this process has loaded.
MARSHAL_VERSION = 2


class Packed(NamedTuple):
    data: bytes
    digest: str
    """SHA-256 of the data, as the agent reports it in a probe."""
    release: int
    """Orders agents; reported in a probe too."""


@functools.cache
def pack() -> Packed:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(_files().items()):
            entry = zipfile.ZipInfo(name, TIMESTAMP)
            entry.external_attr = 0o600 << 16
            archive.writestr(entry, content)
    data = buffer.getvalue()
    return Packed(data, hashlib.sha256(data).hexdigest(), release())


def release() -> int:
    return int(runpy.run_path(str(SOURCE / "release.py"))["RELEASE"])


def source_digest() -> str:
    """Unlike that of the packed file the same for every Python."""
    digest = hashlib.sha256()
    for path in sorted(SOURCE.glob("*.py")):
        digest.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def command(python: str, path: str) -> str:
    """The command line that answers one request, for the `command=` of `authorized_keys`."""
    return shlex.join([python, "-S", "-E", "-I", path])


def _files() -> dict[str, bytes]:
    files = {"__main__.py": ENTRY.encode()}
    for path in SOURCE.glob("*.py"):
        name = f"agent/{path.name}"
        source = path.read_bytes()
        files[name] = source
        files[f"{name}c"] = _compiled(source, name)
    return files


def _compiled(source: bytes, name: str) -> bytes:
    code = compile(source, name, "exec", dont_inherit=True, optimize=0)
    header = importlib.util.MAGIC_NUMBER + UNCHECKED_HASH + importlib.util.source_hash(source)
    return header + marshal.dumps(code, MARSHAL_VERSION)


if __name__ == "__main__":
    sys.stdout.write(f"{release()} {source_digest()}\n")
