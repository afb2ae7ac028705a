"""Why a container ended, or never began, in words: from what its monitor recorded, and what this engine did to it."""

import signal
from typing import Final

from cais.engine.explain_models import End, Oom
from cais.engine.health import RETRIES
from cais.engine.lifecycle import LOST_ERROR
from cais.engine.models import Asker, HealthConfig, Record, SentSignal, Status
from cais.engine.recovery import UNKNOWN_END
from cais.engine.signals import signal_name
from cais.engine.text import binary_size
from cais.runtime.errors import Reason

UNKNOWN_SENDER: Final = "sender unknown (from inside the container or the host)"

_SIGKILL: Final = int(signal.SIGKILL)
_LARGEST_SIGNAL: Final = 64
_SIGNALS: Final = {
    signal.SIGHUP: "its terminal was closed, or it was told to read its configuration again",
    signal.SIGINT: "interrupted, as by ctrl-c",
    signal.SIGQUIT: "asked to quit, as by ctrl-\\",
    signal.SIGILL: "an illegal instruction",
    signal.SIGTRAP: "a breakpoint",
    signal.SIGABRT: "it aborted itself",
    signal.SIGBUS: "a bad access to memory",
    signal.SIGFPE: "an arithmetic error",
    signal.SIGKILL: "killed, which no process can prevent",
    signal.SIGSEGV: "a segmentation fault",
    signal.SIGPIPE: "it wrote to a pipe that nobody reads",
    signal.SIGALRM: "its own alarm",
    signal.SIGTERM: "asked to end",
    signal.SIGXCPU: "its limit of processor time",
    signal.SIGXFSZ: "its limit of the size of a file",
    signal.SIGSYS: "a bad system call",
}
_OWN_FAULTS: Final = frozenset(
    {
        signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV, signal.SIGPIPE,
        signal.SIGSYS,
    }
)  # fmt: skip
_CODES: Final = {
    0: "it was done",
    1: "the usual code for an error",
    2: "often the code for a wrong use of a command",
    125: "as the command of an engine that could not start a container",
    126: "as a shell whose command cannot be executed",
    127: "as a shell whose command was not found",
    255: "often a code out of range, or a program that could not be executed after all; its output may say more",
}
_UNKNOWN_ENDS: Final = frozenset({LOST_ERROR, UNKNOWN_END})  # their exit codes are not the process's own
_ASKED: Final = {
    Asker.STOP: "a request to stop it",
    Asker.KILL: "a request to kill it or to send it a signal",
    Asker.RESTART: "a request to restart it",
    Asker.REMOVE: "a request to remove it by force",
    Asker.HEALTH: "the engine itself, since it was unhealthy and is to be restarted then",
}
_START_FAILURES: Final = {
    Reason.NOT_FOUND: "Its command was not found in the container",
    Reason.NOT_EXECUTABLE: "Its command is there but cannot be executed",
    Reason.INVALID: "It could not be started as it was asked for",
    Reason.INTERNAL: "It could not be started: the runtime or the host failed",
}


def end(record: Record) -> End | None:
    """How the container ended the last time; None for one that runs, or that nobody has tried to start."""
    state = record.state
    if state.running or (not state.started_at_ns and not state.start_failure):
        return None
    failed = bool(state.start_failure)
    words = [_start_failure(record)] if failed else [*_process(record), *_memory(record), *_health(record)]
    return End(
        exit_code=state.exit_code,
        signal=signal_name(state.signal) if state.signal else "",
        sender=_sender(record) if state.signal else "",
        error=state.error,
        oom_killed=state.oom_killed,
        oom=_oom(record),
        words=[*words, *_restarts(record)],
    )


def _start_failure(record: Record) -> str:
    words = _START_FAILURES[Reason(record.state.start_failure)]
    again = "" if record.state.started_at_ns == 0 else " when it was to be started again"
    return f"{words}{again}: {record.state.error}"


def _process(record: Record) -> list[str]:
    """What became of the first process."""
    state = record.state
    words = []
    if state.signal:
        meaning = _SIGNALS.get(signal.Signals(state.signal)) if _is_named(state.signal) else None
        explained = f" ({meaning})" if meaning else ""
        words.append(f"Its first process was ended by {signal_name(state.signal)}{explained}; {_sender(record)}.")
    elif state.error not in _UNKNOWN_ENDS:
        words.append(_exit(record))
        if state.sent is not None:
            words.append(f"Before, {_sent(state.sent, state.finished_at_ns)}.")
    if state.error:
        words.append(f"The engine says: {state.error}.")
    return words


def _is_named(number: int) -> bool:
    return number in {int(item) for item in signal.Signals}


def _exit(record: Record) -> str:
    state = record.state
    code = state.exit_code
    meaning = _CODES.get(code, "")
    number = code - 128
    if not meaning and 0 < number <= _LARGEST_SIGNAL:
        who = "the init says so of a command" if record.host_config.Init is True else "shells say so of a command"
        meaning = f"128 + {number}: {who} that was ended by {signal_name(number)}"
    return f"Its first process ended by itself with exit code {code}{f' ({meaning})' if meaning else ''}."


def _sender(record: Record) -> str:
    """Who sent the signal that ended the container, as far as it can be known."""
    state = record.state
    if state.oom_killed and state.signal == _SIGKILL and not _is_sent(state.sent, _SIGKILL):
        return "sent by the kernel, for want of memory"
    if state.sent is not None and state.sent.number == state.signal:
        return _sent(state.sent, state.finished_at_ns)
    if state.signal in _OWN_FAULTS:
        return f"which the kernel sends for a fault of the program itself; {UNKNOWN_SENDER}"
    return UNKNOWN_SENDER


def _is_sent(sent: SentSignal | None, number: int) -> bool:
    return sent is not None and sent.number == number


def _sent(sent: SentSignal, finished_at_ns: int) -> str:
    seconds = max(0, finished_at_ns - sent.time_ns) / 1e9
    overdue = ", when it had not ended in the time it was given" if sent.overdue else ""
    return (
        f"{signal_name(sent.number)} was sent by this engine {seconds:.2g} s earlier, for {_ASKED[sent.asker]}{overdue}"
    )


def _memory(record: Record) -> list[str]:
    state, oom = record.state, record.state.oom
    if not state.oom_killed:
        return []
    if oom is None:
        return ["Memory ran out while it ran, and the kernel killed a process of it; the figures are not known."]
    killed = "1 process" if oom.kills == 1 else f"{oom.kills} processes"
    if oom.limit_bytes is None:
        return [
            f"Memory ran out and the kernel killed {killed} of it. It had no limit of its own: the host or a control "
            f"group above it had none left. It had used {binary_size(oom.peak_bytes)} at most."
        ]
    hit = f", and the limit was hit {oom.failures} times" if oom.failures else ""
    return [
        f"Memory ran out and the kernel killed {killed} of it: the limit was {binary_size(oom.limit_bytes)}, at most "
        f"{binary_size(oom.peak_bytes)} were used{hit}."
    ]


def _oom(record: Record) -> Oom | None:
    oom = record.state.oom
    if oom is None:
        return None
    return Oom(limit_bytes=oom.limit_bytes, peak_bytes=oom.peak_bytes, kills=oom.kills, failures=oom.failures)


def _health(record: Record) -> list[str]:
    """What the health check said before the end."""
    health, config = record.state.health, record.config.Healthcheck
    if health is None or not health.failing_streak or not health.log or not isinstance(config, HealthConfig):
        return []
    last = health.log[-1]
    times = "once" if health.failing_streak == 1 else f"{health.failing_streak} times in a row"
    code = "did not end" if last.exit_code < 0 else f"exit code {last.exit_code}"
    output = f", {last.output.strip()!r}" if last.output.strip() else ""
    retries = config.Retries or RETRIES
    verdict = "it was unhealthy" if health.failing_streak >= retries else f"unhealthy is after {retries}"
    return [f"Its health check had failed {times} ({verdict}); the last time: {code}{output}."]


def _restarts(record: Record) -> list[str]:
    """What its restart policy has done, and will do."""
    policy, count = record.host_config.restart_policy, record.restart_count
    words = []
    if count:
        times = "once" if count == 1 else f"{count} times"
        words.append(f"It was started again {times} by the engine.")
    if record.state.status is Status.RESTARTING:
        words.append(f"It will be started again, as its restart policy {policy.Name!r} says.")
    elif policy.Name == "on-failure" and policy.MaximumRetryCount and count >= policy.MaximumRetryCount:
        words.append(f"Its restart policy allows {policy.MaximumRetryCount} times, so it stays as it is.")
    elif policy.Name not in {"", "no"} and record.state.manually_stopped:
        words.append(f"Its restart policy {policy.Name!r} leaves it alone, since a user ended it.")
    elif policy.Name not in {"", "no"} and record.state.start_failure:
        words.append("After a start that failed, its restart policy does not try again.")
    return words
