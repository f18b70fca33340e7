from collections.abc import Iterator

import pytest

from tests.rssr.client.scripted import Scripted, scripted_service


@pytest.fixture
def service() -> Iterator[Scripted]:
    """A server that answers as the test says."""
    with scripted_service() as running:
        yield running
