import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.cluster import Cluster


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    logging.getLogger("httpx").setLevel(logging.WARNING)
    directory: Path = tmp_path_factory.mktemp("cluster")
    # PostgreSQL is nobody, and must get there.
    for folder in (directory, directory.parent):
        folder.chmod(0o711)
    cluster = Cluster(directory)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
