"""The values of a Compose file: amounts, ports, mounts; and the order of what is done."""

import threading
import time

import pytest

from cais.compose import mounts, ports
from cais.compose.natural import natural
from cais.compose.parallel import Task, each, run_all
from cais.compose.units import byte_count, nanoseconds, number_text
from cais.gotext import duration


@pytest.mark.parametrize(
    ("text", "count"),
    [("10", 10), ("1k", 1024), ("1.5g", 1610612736), ("64MB", 67108864), ("2 kib", 2048), ("-1", -1), (7, 7)],
)
def test_bytes(text: object, count: int) -> None:
    assert byte_count(text) == count


@pytest.mark.parametrize("text", ["5q", "", "k", "1.2.3m"])
def test_no_bytes(text: str) -> None:
    with pytest.raises(ValueError, match="invalid size"):
        byte_count(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("90s", "1m30s"),
        ("1h", "1h0m0s"),
        ("1.5s", "1.5s"),
        ("250ms", "250ms"),
        ("1us", "1µs"),
        ("1d", "24h0m0s"),
        ("0s", "0s"),
        ("-3s", "-3s"),
    ],
)
def test_durations(text: str, shown: str) -> None:
    assert duration(nanoseconds(text)) == shown


@pytest.mark.parametrize("text", ["", "5", "x", "1s2"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        nanoseconds(text)


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (1.0, "1"), (1.5, "1.5"), (3, "3"), ("x", "x")])
def test_numbers_are_written_as_go_writes_them(value: object, text: str) -> None:
    assert number_text(value) == text


def _ports(text: str) -> list[tuple[str, str, int, str]]:
    return [
        (entry.get("host_ip", ""), entry.get("published", ""), entry["target"], entry["protocol"])
        for entry in ports.parse(text)
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("80", [("", "", 80, "tcp")]),
        ("8080:80/udp", [("", "8080", 80, "udp")]),
        ("127.0.0.1:8080:80", [("127.0.0.1", "8080", 80, "tcp")]),
        ("127.0.0.1::80", [("127.0.0.1", "", 80, "tcp")]),
        ("[::1]:1:2", [("::1", "1", 2, "tcp")]),
        ("80-81", [("", "", 80, "tcp"), ("", "", 81, "tcp")]),
        ("90-91:80-81", [("", "90", 80, "tcp"), ("", "91", 81, "tcp")]),
        ("8000-8010:80", [("", "8000-8010", 80, "tcp")]),
    ],
)
def test_ports(text: str, found: list[tuple[str, str, int, str]]) -> None:
    assert _ports(text) == found


@pytest.mark.parametrize("text", ["", "a", "a:b", "80:81:82:83", "1-2:3-5", "80/xyz", "70000", "5-3", "x:1:2"])
def test_no_ports(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        ports.parse(text)


def test_mounts() -> None:
    assert mounts.parse("/data") == {"type": "volume", "target": "/data", "volume": {}}
    assert mounts.parse("name:/data/:ro") == {
        "type": "volume",
        "source": "name",
        "target": "/data",
        "volume": {},
        "read_only": True,
    }
    assert mounts.parse("./a:/b:z,rslave")["bind"] == {"selinux": "z", "propagation": "rslave"}
    with pytest.raises(ValueError, match="empty section between colons"):
        mounts.parse(":/x")


def test_keys_are_sorted_with_their_numbers_by_value() -> None:
    assert sorted(["s10", "s2", "b", "a_1", "a-1", "10", "9", "_"], key=natural) == [
        "_",
        "9",
        "10",
        "a-1",
        "a_1",
        "b",
        "s2",
        "s10",
    ]


def test_tasks_wait_for_those_before_them() -> None:
    done: list[str] = []

    def slow() -> None:
        time.sleep(0.05)
        done.append("b")

    tasks = {
        "c": Task(lambda: done.append("c"), ["b", "nobody"]),
        "b": Task(slow, ["a"]),
        "a": Task(lambda: done.append("a")),
    }
    run_all(tasks)
    assert done == ["a", "b", "c"]


def test_tasks_that_may_run_together_do() -> None:
    meeting = threading.Barrier(3, timeout=5)
    each(range(3), lambda _number: meeting.wait())
    with pytest.raises(threading.BrokenBarrierError):
        each(range(3), lambda _number: threading.Barrier(3).wait(0.05), 1)


def test_after_a_failure_nothing_begins_and_the_failure_is_raised() -> None:
    done: list[str] = []

    def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run_all({"a": Task(fail), "b": Task(lambda: done.append("b"), ["a"])})
    assert done == []


def test_tasks_that_wait_for_one_another_are_a_defect() -> None:
    with pytest.raises(RuntimeError, match="wait for one another: a, b"):
        run_all({"a": Task(lambda: None, ["b"]), "b": Task(lambda: None, ["a"])})


def test_settled_tasks_do_not_run() -> None:
    done: list[str] = []

    def task(name: str, after: list[str], settled: bool | None) -> Task:
        return Task(lambda: done.append(name), after, None if settled is None else lambda: settled)

    run_all({"a": task("a", [], True), "b": task("b", ["a"], True), "c": task("c", ["b"], False)})
    assert done == ["c"]
    done.clear()
    # What comes behind a task that runs is not asked beforehand: it may not be settled any more.
    run_all({"a": task("a", [], False), "b": task("b", ["a"], True), "c": task("c", [], None)})
    assert sorted(done) == ["a", "b", "c"]
    assert done.index("a") < done.index("b")
