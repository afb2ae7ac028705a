"""Why a container ended, in words."""

from typing import Any

import pytest

from cais.engine.explain_end import UNKNOWN_SENDER, end
from cais.engine.lifecycle import LOST_ERROR
from cais.engine.models import (
    Asker,
    ContainerConfig,
    Health,
    HealthConfig,
    HealthResult,
    HostConfig,
    OomRecord,
    Record,
    RestartPolicy,
    SentSignal,
    State,
    Status,
)

SECOND = 1_000_000_000
MIB = 1 << 20


def _record(host_config: HostConfig | None = None, config: ContainerConfig | None = None, **state: Any) -> Record:
    known = {"status": Status.EXITED, "started_at_ns": 10 * SECOND, "finished_at_ns": 20 * SECOND, **state}
    return Record(
        id="a" * 64, name="web", created_ns=1, image_id="sha256:b", path="sleep", args=[],
        config=config or ContainerConfig(), host_config=host_config or HostConfig(), state=State(**known),
    )  # fmt: skip


def _words(record: Record) -> str:
    found = end(record)
    assert found is not None
    return " ".join(found.words)


def _sent(number: int, asker: Asker = Asker.STOP, overdue: bool = False) -> SentSignal:
    return SentSignal(number=number, asker=asker, time_ns=18 * SECOND, overdue=overdue)


@pytest.mark.parametrize("status", [Status.RUNNING, Status.PAUSED])
def test_what_runs_has_not_ended(status: Status) -> None:
    assert end(_record(status=status)) is None


def test_what_was_never_started_has_not_ended() -> None:
    assert end(_record(status=Status.CREATED, started_at_ns=0, finished_at_ns=0)) is None


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exit code 0 (it was done)"),
        (1, "exit code 1 (the usual code for an error)"),
        (42, "ended by itself with exit code 42."),
        (127, "exit code 127 (as a shell whose command was not found)"),
        (137, "exit code 137 (128 + 9: shells say so of a command that was ended by SIGKILL)"),
        (255, "could not be executed after all"),
    ],
)
def test_exit_codes_are_put_in_words(code: int, words: str) -> None:
    assert words in _words(_record(exit_code=code))


def test_an_end_that_nobody_saw_has_no_exit_code_of_its_own() -> None:
    assert _words(_record(exit_code=137, error=LOST_ERROR)) == f"The engine says: {LOST_ERROR}."


def test_what_went_wrong_after_the_end_stands_beside_it() -> None:
    words = _words(_record(exit_code=3, error="remove cgroup: it still has processes"))
    assert words.startswith("Its first process ended by itself with exit code 3. The engine says: remove cgroup")


def test_a_signal_of_this_engine_has_a_sender() -> None:
    found = end(_record(exit_code=143, signal=15, sent=_sent(15)))
    assert found is not None
    assert found.signal == "SIGTERM"
    assert found.sender == "SIGTERM was sent by this engine 2 s earlier, for a request to stop it"


@pytest.mark.parametrize("sent", [None, _sent(10, Asker.KILL)])
def test_a_signal_that_nobody_recorded_has_an_unknown_sender(sent: SentSignal | None) -> None:
    found = end(_record(exit_code=137, signal=9, sent=sent))
    assert found is not None
    assert found.sender == UNKNOWN_SENDER


def test_a_fault_of_the_program_is_called_one() -> None:
    words = _words(_record(exit_code=139, signal=11))
    assert "SIGSEGV (a segmentation fault)" in words
    assert "a fault of the program itself" in words


def test_a_real_time_signal_has_its_name() -> None:
    assert "SIGRTMIN+3" in _words(_record(exit_code=165, signal=37))


def test_a_stop_that_was_overdue_says_so() -> None:
    words = _words(_record(exit_code=137, signal=9, sent=_sent(9, overdue=True)))
    assert "when it had not ended in the time it was given" in words


def test_an_end_on_request_by_the_process_itself_names_the_request() -> None:
    words = _words(_record(exit_code=0, sent=_sent(15, Asker.RESTART)))
    assert "Before, SIGTERM was sent by this engine 2 s earlier, for a request to restart it." in words


def test_a_lack_of_memory_has_its_figures_and_the_kernel_as_sender() -> None:
    oom = OomRecord(limit_bytes=20 * MIB, peak_bytes=20 * MIB, kills=1, failures=49)
    found = end(_record(exit_code=137, signal=9, oom_killed=True, oom=oom))
    assert found is not None
    assert found.sender == "sent by the kernel, for want of memory"
    assert "the kernel killed 1 process of it: the limit was 20MiB, at most 20MiB were used" in " ".join(found.words)
    assert "hit 49 times" in " ".join(found.words)
    assert found.oom is not None
    assert found.oom.kills == 1


def test_a_lack_of_memory_without_a_limit_is_the_host_s() -> None:
    oom = OomRecord(limit_bytes=None, peak_bytes=3 * MIB, kills=2, failures=0)
    words = _words(_record(exit_code=0, oom_killed=True, oom=oom))
    assert "killed 2 processes of it. It had no limit of its own" in words


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("not-found", "Its command was not found in the container: exec: nosuch"),
        ("not-executable", "cannot be executed: exec: nosuch"),
        ("invalid", "as it was asked for: exec: nosuch"),
        ("internal", "the runtime or the host failed: exec: nosuch"),
    ],
)
def test_a_start_that_failed_says_why(reason: str, words: str) -> None:
    record = _record(
        status=Status.CREATED,
        started_at_ns=0,
        finished_at_ns=0,
        exit_code=127,
        error="exec: nosuch",
        start_failure=reason,
    )
    assert words in _words(record)


def test_a_health_check_that_failed_is_told() -> None:
    result = HealthResult(start_ns=1, end_ns=2, exit_code=3, output="bad\n")
    config = ContainerConfig(Healthcheck=HealthConfig(Test=["CMD", "x"], Retries=2))
    record = _record(
        config=config,
        exit_code=143,
        signal=15,
        sent=_sent(15, Asker.HEALTH),
        health=Health(failing_streak=2, log=[result]),
    )
    words = _words(record)
    assert "since it was unhealthy" in words
    assert "failed 2 times in a row (it was unhealthy); the last time: exit code 3, 'bad'" in words


def test_restarts_are_counted_and_foretold() -> None:
    policy = HostConfig(restart_policy=RestartPolicy("on-failure", 2))
    record = _record(policy, exit_code=1)
    record.restart_count = 2
    assert "started again 2 times by the engine. Its restart policy allows 2 times" in _words(record)
    waiting = _record(HostConfig(restart_policy=RestartPolicy("always")), status=Status.RESTARTING, exit_code=1)
    assert "It will be started again, as its restart policy 'always' says." in _words(waiting)
    stopped = _record(HostConfig(restart_policy=RestartPolicy("always")), exit_code=0, manually_stopped=True)
    assert "leaves it alone, since a user ended it" in _words(stopped)
