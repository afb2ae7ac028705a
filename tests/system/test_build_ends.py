"""Builds that are given up, or whose engine dies: nothing of them is left but what is cached."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import host
from tests.harness.build import build, context, look
from tests.harness.engine import Daemon, wait_until
from tests.harness.http import UnixConnection

SLEEPS = "FROM busybox\nRUN echo kept > /kept\nRUN echo begun; sleep 1000 & sleep 999\n"


@pytest.fixture
def daemon(private_caisd: Daemon) -> Iterator[Daemon]:
    yield private_caisd


def begin(daemon: Daemon, archive: bytes, query: str = "") -> UnixConnection:
    """A build that has come to its long command."""
    connection = UnixConnection(daemon.socket, 60)
    connection.request("POST", f"/build?{query}", body=archive)
    answer = connection.getresponse()
    seen = b""
    while b"begun" not in seen.split(b"Running in", 2)[-1]:
        piece = answer.read1(4096)
        assert piece, seen
        seen += piece
    connection.sock.setblocking(True)
    connection.response = answer  # type: ignore[attr-defined]  # keeps it open
    return connection


def leftovers(daemon: Daemon) -> list[str]:
    """What builds may leave: folders, run folders, processes."""
    folders = [str(path) for path in (daemon.data_root / "tmp" / "images").glob("*")]
    folders += [str(path) for path in (daemon.exec_root / "containers").glob("*")]
    return folders + [host.command_line(pid) for pid in host.processes_naming("sleep 999")]


def hang_up(connection: UnixConnection) -> None:
    connection.response.close()  # type: ignore[attr-defined]
    connection.close()


def test_a_client_that_hangs_up_ends_its_build(daemon: Daemon) -> None:
    connection = begin(daemon, context(SLEEPS), "t=never")
    assert leftovers(daemon)
    hang_up(connection)
    wait_until(lambda: not leftovers(daemon), 5, lambda: str(leftovers(daemon)))
    assert daemon.ask("GET", "/images/never/json").status == 404
    made = build(daemon, "FROM busybox\nRUN echo kept > /kept\n")
    assert made.cached == 1
    assert look(daemon, made.image, "cat /kept") == "kept"


def test_a_build_is_cancelled_by_its_id(daemon: Daemon) -> None:
    connection = begin(daemon, context(SLEEPS), "buildid=one")
    assert daemon.ask("POST", "/build/cancel").status == 400
    assert daemon.ask("POST", "/build/cancel?id=other").status == 200
    assert leftovers(daemon)
    assert daemon.ask("POST", "/build/cancel?id=one").status == 200
    wait_until(lambda: not leftovers(daemon), 5, lambda: str(leftovers(daemon)))
    hang_up(connection)


def test_a_client_that_breaks_off_while_it_sends(daemon: Daemon) -> None:
    archive = context("FROM busybox\nCOPY . /c", {"big": os.urandom(3 << 20)})
    connection = UnixConnection(daemon.socket, 10)
    connection.putrequest("POST", "/build")
    connection.putheader("Content-Length", str(len(archive)))
    connection.endheaders(archive[: 1 << 20])
    wait_until(lambda: bool(leftovers(daemon)), 5)
    connection.close()
    wait_until(lambda: not leftovers(daemon), 5, lambda: str(leftovers(daemon)))


def test_a_failing_stage_ends_the_others(daemon: Daemon) -> None:
    began = time.monotonic()
    made = build(
        daemon,
        "FROM busybox AS a\nRUN sleep 999\nFROM busybox AS b\nRUN sleep 0.3; exit 7\n"
        "FROM busybox\nCOPY --from=a / /a\nCOPY --from=b / /b\n",
    )
    assert time.monotonic() - began < 10
    assert made.error.endswith("returned a non-zero code: 7")
    wait_until(lambda: not leftovers(daemon), 5, lambda: str(leftovers(daemon)))


def test_an_engine_that_is_stopped_ends_its_builds(daemon: Daemon) -> None:
    connection = begin(daemon, context(SLEEPS))
    assert daemon.stop() == 0
    assert not host.processes_naming("sleep 999")
    hang_up(connection)
    daemon.start()
    assert not leftovers(daemon)


def test_what_a_killed_engine_was_building_is_swept(daemon: Daemon) -> None:
    connection = begin(daemon, context(SLEEPS))
    daemon.kill()
    daemon.start()
    wait_until(lambda: not leftovers(daemon), 10, lambda: str(leftovers(daemon)))
    hang_up(connection)
    assert not build(daemon, "FROM busybox\nRUN echo kept > /kept").error


def test_an_engine_that_is_killed_anywhere_in_a_build(daemon: Daemon) -> None:
    text = (
        "FROM busybox\nRUN echo 1 > /a; dd if=/dev/zero of=/big bs=1M count=8 2>/dev/null\nCOPY f /f\nRUN cat /f > /g\n"
    )
    archive = context(text, {"f": os.urandom(1 << 20).hex()})
    for pause_seconds in (0.02, 0.06, 0.1, 0.15, 0.2, 0.3):
        thread = threading.Thread(target=_ask, args=(daemon, archive))
        thread.start()
        time.sleep(pause_seconds)
        daemon.kill()
        thread.join()
        daemon.start()
        tagged = daemon.ask("GET", "/images/killed/json").status == 200
        if tagged:
            assert look(daemon, "killed", "cmp /f /g && echo same") == "same"
    wait_until(lambda: not leftovers(daemon), 10, lambda: str(leftovers(daemon)))
    made = build(daemon, text, {"f": "content"}).image
    assert look(daemon, made, "cat /g; stat -c %s /big") == f"content{8 << 20}"
    assert not _unknown_layers(daemon)


def _ask(daemon: Daemon, archive: bytes) -> None:
    connection = UnixConnection(daemon.socket, 30)
    try:
        connection.request("POST", "/build?t=killed&nocache=1", body=archive)
        connection.getresponse().read()
    except OSError:
        pass
    except Exception as error:  # noqa: BLE001  whatever a connection ends with when its engine is killed
        assert "Incomplete" in type(error).__name__ or "Disconnected" in type(error).__name__, error
    finally:
        connection.close()


def _unknown_layers(daemon: Daemon) -> set[str]:
    """Layers on disk that neither an image nor the cache has."""
    on_disk = {path.name for path in Path(daemon.data_root / "layers").iterdir()}
    known: set[str] = set()
    for image in daemon.ask("GET", "/images/json?all=1").json.items:
        told = daemon.ask("GET", f"/cais/images/{image['Id'].text}/layers").json
        known |= {step["ChainId"].text.removeprefix("sha256:") for step in told["Steps"].items if "ChainId" in step}
    assert daemon.ask("POST", "/build/prune?all=1").status == 200
    return {path.name for path in Path(daemon.data_root / "layers").iterdir()} - known if on_disk else set()
