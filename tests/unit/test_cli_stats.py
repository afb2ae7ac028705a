"""What containers use: the arithmetic, and the table that is drawn anew."""

import socket
from pathlib import Path
from typing import Any

import pytest

from cais.cli import stats
from cais.cli.formats import plain
from cais.cli.main import run
from cais.cli.stats_rows import COLUMNS, cpu_percent, fields, memory_used
from cais.client.codec import dumps
from cais.client.engine import Engine
from tests.unit.conftest import CannedEngine
from tests.unit.scripted_engine import Request, ScriptedEngine, answer

READING: Any = {
    "id": "66b98c0eb165" + "0" * 52,
    "name": "/web",
    "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000},
    "cpu_stats": {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 2000, "online_cpus": 2},
    "memory_stats": {"usage": 3 << 20, "limit": 1 << 30, "stats": {"total_inactive_file": 1 << 20}},
    "blkio_stats": {
        "io_service_bytes_recursive": [{"op": "Read", "value": 5000}, {"op": "write", "value": 7}, {"op": "Sync"}]
    },
    "networks": {"eth0": {"rx_bytes": 1500, "tx_bytes": 1}, "eth1": {"rx_bytes": 6, "tx_bytes": 0}},
    "pids_stats": {"current": 3},
}


def test_a_reading_is_shown_as_docker_shows_it() -> None:
    assert plain(fields("web", READING, whole=False)) == {
        "BlockIO": "5kB / 7B",
        "CPUPerc": "40.00%",
        "Container": "web",
        "ID": "66b98c0eb165",
        "MemPerc": "0.20%",
        "MemUsage": "2MiB / 1GiB",
        "Name": "web",
        "NetIO": "1.51kB / 1B",
        "PIDs": "3",
    }
    assert fields("web", READING, whole=True)["ID"] == READING["id"]


def test_of_a_container_that_does_not_run_everything_is_nothing() -> None:
    row = fields("c", {"id": "ab", "name": "/c", "memory_stats": {}, "networks": None}, whole=False)
    assert (row["CPUPerc"], row["MemUsage"], row["MemPerc"], row["PIDs"]) == ("0.00%", "0B / 0B", "0.00%", "0")


def test_what_is_not_known_is_not_shown() -> None:
    row = fields("c", None, whole=False)
    assert (row["Name"], row["CPUPerc"], row["MemUsage"]) == ("--", "--", "-- / --")
    old = fields("web", READING, whole=False, is_old=True)
    assert (old["Name"], old["ID"], old["CPUPerc"]) == ("web", "66b98c0eb165", "--")


def test_processors_are_counted_where_their_number_is_not_said() -> None:
    before: Any = {"cpu_usage": {"total_usage": 0}, "system_cpu_usage": 0}
    now: Any = {"cpu_usage": {"total_usage": 10, "percpu_usage": [5, 5, 0, 0]}, "system_cpu_usage": 100}
    assert cpu_percent(before, now) == pytest.approx(40)
    assert cpu_percent(now, before) == 0


@pytest.mark.parametrize(
    ("details", "used"),
    [({"total_inactive_file": 30}, 70), ({"inactive_file": 20}, 80), ({"inactive_file": 200}, 100), (None, 100)],
)
def test_cache_that_can_be_dropped_is_no_use_of_memory(details: Any, used: int) -> None:
    assert memory_used({"usage": 100, "stats": details}) == used


def test_single_readings_are_asked_for_at_once(canned: CannedEngine, capfd: pytest.CaptureFixture[str]) -> None:
    canned.answers["GET /containers/json"] = [{"Id": "a" * 64}, {"Id": "b" * 64}]
    canned.answers["GET /containers/aaaaaaaaaaaa/stats"] = READING
    assert run(["stats", "--no-stream", "--format", "{{.Container}} {{.Name}} {{.PIDs}}"]) == 0
    assert capfd.readouterr().out == "aaaaaaaaaaaa web 3\nbbbbbbbbbbbb -- --\n"
    assert "GET /containers/aaaaaaaaaaaa/stats?stream=0" in canned.requests


def test_a_named_container_that_is_not_there_is_an_error(
    canned: CannedEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    canned.answers["GET /containers/a/stats"] = READING
    for flags in (["--no-stream"], []):
        assert run(["stats", *flags, "a", "nope"]) == 1
        assert capfd.readouterr() == ("", "Error response from daemon: No such thing: /containers/nope/stats\n")


def test_a_bad_template_is_told_of_before_anything_is_asked(
    canned: CannedEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["stats", "--format", "{{.Foo"]) == 1
    assert capfd.readouterr().err == "template parsing error: template: :1: unclosed action\n"
    assert canned.requests == []


def _chunk(value: object) -> bytes:
    data = dumps(value) + b"\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


class LiveEngine:
    """One container runs, another is started, and the first dies."""

    def __init__(self) -> None:
        self.events: socket.socket | None = None
        self.streams: dict[str, socket.socket] = {}

    def reply(self, request: Request, connection: socket.socket) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        if "/events" in request.target:
            self.events = connection
            connection.sendall(head)
        elif "/containers/json" in request.target:
            connection.sendall(answer("200 OK", dumps([{"Id": "a" * 64}])))
        else:
            name = request.target.split("/")[3]
            self.streams[name] = connection
            connection.sendall(head + _chunk({**READING, "id": name, "name": f"/{name[0]}"}))

    def tell(self, action: str, container: str) -> None:
        assert self.events is not None
        self.events.sendall(_chunk({"Type": "container", "Action": action, "Actor": {"ID": container * 64}}))


def test_containers_come_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "_PERIOD_SECONDS", 0.05)
    live = LiveEngine()
    with ScriptedEngine(tmp_path, live.reply) as scripted:
        watch = stats._Watch(Engine(scripted.endpoint), [], everything=False)
        screens = (
            COLUMNS.render("{{.Name}}", [fields(one.name, one.stats, whole=False) for one in watched])
            for watched in watch.forever()
        )
        assert next(screens) == "a\n"
        live.tell("start", "b")
        assert any(next(screens) == "a\nb\n" for _ in range(50))
        live.tell("die", "a")
        assert any(next(screens) == "b\n" for _ in range(50))
        live.streams["bbbbbbbbbbbb"].sendall(b"0\r\n\r\n")
        assert live.events is not None
        live.events.sendall(b"0\r\n\r\n")
        assert list(screens)[-1] == "b\n"


def test_a_screen_is_written_over_the_one_before() -> None:
    assert stats._screen("A\nb\n") == "\x1b[HA \x1b[K\nb \x1b[K\n\x1b[J"
