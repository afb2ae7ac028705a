"""The command line, typed into the real docker client and into our own command alike."""

from collections.abc import Iterator

import pytest

from tests.harness.engine import Daemon, Engine


@pytest.fixture(params=["docker", "cais"])
def engine(engine: Engine, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The engine, whose `docker…` methods run the one client or the other."""
    if request.param == "cais" and not isinstance(engine, Daemon):
        pytest.skip("another engine is tested: its client is docker")
    engine.client = request.param
    yield engine
    engine.client = "docker"
