"""What the results of health checks make of a container."""

import pytest

from cais.engine import health
from cais.engine.models import ContainerConfig, Health, HealthConfig, HealthResult, HealthStatus

SECOND = 1_000_000_000


def _result(exit_code: int, at_seconds: float = 100) -> HealthResult:
    return HealthResult(
        start_ns=int(at_seconds * SECOND), end_ns=int(at_seconds * SECOND), exit_code=exit_code, output=""
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (ContainerConfig(), None),
        (ContainerConfig(Healthcheck=HealthConfig(Test=["NONE"])), None),
        (ContainerConfig(Healthcheck=HealthConfig(Test=[])), None),
        (ContainerConfig(Healthcheck=HealthConfig(Test=["CMD", "a", "b"])), ["a", "b"]),
        (ContainerConfig(Healthcheck=HealthConfig(Test=["CMD-SHELL", "a b"])), ["/bin/sh", "-c", "a b"]),
        (ContainerConfig(Healthcheck=HealthConfig(Test=["CMD-SHELL", "a"]), Shell=["/ash", "-x"]), ["/ash", "-x", "a"]),
        (ContainerConfig(Healthcheck=HealthConfig(Test=["OTHER", "a"])), None),
    ],
)
def test_the_command(config: ContainerConfig, expected: list[str] | None) -> None:
    assert health.command(config) == expected


def test_three_failures_in_a_row_are_too_many() -> None:
    known = Health(status=HealthStatus.HEALTHY)
    for exit_code in (1, 1, 0, 1, 2):
        health.judge(known, _result(exit_code), HealthConfig(), 0)
    assert (known.status, known.failing_streak) == (HealthStatus.HEALTHY, 2)
    health.judge(known, _result(-1), HealthConfig(), 0)
    assert (known.status, known.failing_streak) == (HealthStatus.UNHEALTHY, 3)
    assert [result.exit_code for result in known.log] == [1, 0, 1, 2, -1]


def test_the_start_period_forgives_until_the_first_success() -> None:
    config = HealthConfig(StartPeriod=10 * SECOND, Retries=1)
    known = Health()
    health.judge(known, _result(1, 5), config, 0)
    assert (known.status, known.failing_streak) == (HealthStatus.STARTING, 0)
    health.judge(known, _result(0, 6), config, 0)
    health.judge(known, _result(1, 7), config, 0)
    assert known.status is HealthStatus.UNHEALTHY


def test_checks_come_faster_while_starting() -> None:
    config = HealthConfig(StartPeriod=10 * SECOND, StartInterval=SECOND, Interval=20 * SECOND)
    assert health.interval_ns(Health(), config, 5 * SECOND) == SECOND
    assert health.interval_ns(Health(), config, 11 * SECOND) == 20 * SECOND
    assert health.interval_ns(Health(status=HealthStatus.HEALTHY), config, 5 * SECOND) == 20 * SECOND
    assert health.interval_ns(Health(), HealthConfig(), 0) == 30 * SECOND
