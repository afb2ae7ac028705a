"""Testcontainers, as a project's own tests would use it."""

from collections.abc import Iterator

import pytest
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from tests.harness.engine import Engine


@pytest.fixture
def engine_for_testcontainers(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Testcontainers finds the engine by DOCKER_HOST; its own clean-up container needs a network and is left out."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)
    yield engine


def test_a_container_is_started_awaited_asked_and_removed(engine_for_testcontainers: Engine) -> None:
    container = DockerContainer("busybox").with_command(["sh", "-c", "echo $GREETING; sleep 100"])
    container.with_env("GREETING", "all is ready").waiting_for(LogMessageWaitStrategy("all is ready"))
    with container as started:
        identity = started.get_wrapped_container().id
        assert engine_for_testcontainers.containers() == [identity]
        stdout, _ = started.get_logs()
        assert stdout == b"all is ready\n"
        assert started.exec(["cat", "/proc/1/comm"]).exit_code == 0
    assert engine_for_testcontainers.containers() == []
