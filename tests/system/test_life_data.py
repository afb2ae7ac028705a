"""What containers use, have changed and leave: stats, diff, export, prune, system df."""

import io
import json
import os
import stat
import tarfile
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from cais.engine.changes import Change, Kind, changes
from cais.storage.overlay import OPAQUE
from tests.harness.engine import Daemon, wait_until
from tests.harness.http import Json, UnixConnection
from tests.harness.life import create, events, post, refused, run, wait_for_status
from tests.harness.swagger import Description

DESCRIPTION = Path(__file__).resolve().parents[3] / "shared/reference/docker-engine-api-v1.51.yaml"


def _prune(daemon: Daemon, **filters: list[str]) -> Json:
    answer = daemon.ask("POST", f"/containers/prune?filters={quote(json.dumps(filters))}")
    assert answer.status == 200, answer.body
    return answer.json


def _export(daemon: Daemon, container: str) -> tarfile.TarFile:
    answer = daemon.ask("GET", f"/containers/{container}/export")
    assert answer.status == 200, answer.body
    return tarfile.open(fileobj=io.BytesIO(answer.body))


def test_stats_of_a_busy_container(caisd: Daemon) -> None:
    container = run(caisd, "sh", "-c", "while :; do :; done", host_config={"Memory": 64 << 20, "PidsLimit": 9})
    shown = caisd.ask("GET", f"/containers/{container}/stats?stream=false").json
    used = (
        shown["cpu_stats"]["cpu_usage"]["total_usage"].number - shown["precpu_stats"]["cpu_usage"]["total_usage"].number
    )
    assert used > 200_000_000
    assert shown["cpu_stats"]["system_cpu_usage"].number > shown["precpu_stats"]["system_cpu_usage"].number
    assert shown["memory_stats"]["limit"].number == 64 << 20
    assert shown["pids_stats"]["limit"].number == 9
    assert shown["name"].text == caisd.inspect(container)["Name"].text


def test_a_one_shot_does_not_wait(caisd: Daemon) -> None:
    container = run(caisd, "sleep", "100")
    began = time.monotonic()
    shown = caisd.ask("GET", f"/containers/{container}/stats?stream=false&one-shot=true").json
    assert time.monotonic() - began < 0.8
    assert shown["preread"].text.startswith("0001-01-01")
    assert refused(caisd, "GET", f"/containers/{container}/stats?one-shot=1")[0] == 400


def test_stats_stream_through_a_stop_and_end_with_the_container(caisd: Daemon) -> None:
    container = run(caisd, "sleep", "100")
    connection = UnixConnection(caisd.socket, 20)
    connection.request("GET", f"/containers/{container}/stats")
    answer = connection.getresponse()
    first, second = (Json(json.loads(answer.readline())) for _ in range(2))
    assert second["preread"].text == first["read"].text
    post(caisd, container, "kill")
    wait_until(lambda: Json(json.loads(answer.readline()))["memory_stats"].value == {})
    caisd.docker_output("rm", container)
    assert answer.read().count(b"\n") <= 1
    connection.close()


def test_stats_of_a_container_that_does_not_run(caisd: Daemon) -> None:
    container = create(caisd, "true")
    shown = caisd.ask("GET", f"/containers/{container}/stats?stream=false").json
    assert (shown["id"].text, shown["memory_stats"].value) == (container, {})


@pytest.mark.skipif(not DESCRIPTION.exists(), reason="the API's description is not beside this tree")
def test_answers_are_as_described(caisd: Daemon) -> None:
    description = Description(DESCRIPTION)
    container = run(
        caisd, "sh", "-c", "touch /x; sleep 100", Healthcheck={"Test": ["CMD", "true"], "Interval": 100_000_000}
    )  # fmt: skip
    wait_until(lambda: "Log" in caisd.inspect(container)["State"]["Health"])
    for path, query in (("stats", "?stream=false"), ("changes", ""), ("json", "")):
        answer = caisd.ask("GET", f"/containers/{container}/{path}{query}")
        assert description.errors("GET", f"/containers/{{id}}/{path}", 200, answer.json.value) == []
    assert description.errors("GET", "/system/df", 200, caisd.ask("GET", "/system/df").json.value) == []
    updated = caisd.ask("POST", f"/containers/{container}/update", {"CpuShares": 100}).json.value
    assert description.errors("POST", "/containers/{id}/update", 200, updated) == []
    post(caisd, container, "kill")
    wait_for_status(caisd, container, "exited")
    assert description.errors("POST", "/containers/prune", 200, _prune(caisd).value) == []


def test_a_diff_of_what_was_done(caisd: Daemon) -> None:
    script = """mkdir /new; touch /new/a; rm -r /var/www; rm /bin/vi; echo x >> /etc/passwd; ln -s a /l
        chmod 700 /root; rm -r /usr; mkdir /usr; touch /usr/q; touch /tmp/t; rm /tmp/t; touch /usr/kept; sleep 100"""
    container = run(caisd, "sh", "-c", script)
    wait_until(lambda: "/usr/kept" in caisd.docker_output("diff", container))
    assert caisd.docker_output("diff", container).splitlines() == [
        "C /bin", "D /bin/vi", "C /etc", "C /etc/passwd", "A /l", "A /new", "A /new/a", "C /root", "C /tmp", "C /usr",
        "D /usr/bin", "A /usr/kept", "A /usr/q", "D /usr/sbin", "C /var", "D /var/www",
    ]  # fmt: skip


def test_an_untouched_container_has_no_changes(caisd: Daemon) -> None:
    container = run(caisd, "true")
    caisd.docker_output("wait", container)
    assert caisd.docker_output("diff", container) == ""


def test_changes_across_layers(tmp_path: Path) -> None:
    """A name that a middle layer has taken away is new again; what an opaque middle folder hides is not there."""
    upper, middle, bottom = (tmp_path / name for name in ("upper", "middle", "bottom"))
    for layer in (upper, middle, bottom):
        (layer / "d").mkdir(parents=True)
    (bottom / "gone").touch()
    os.mknod(middle / "gone", stat.S_IFCHR, 0)
    (upper / "gone").touch()
    (bottom / "d" / "hidden").touch()
    os.setxattr(middle / "d", OPAQUE, b"y")
    (upper / "d" / "hidden").touch()
    os.mknod(upper / "never", stat.S_IFCHR, 0)
    (bottom / "was-file").touch()
    (upper / "was-file").mkdir()
    for layer in (upper, middle):
        os.utime(layer / "d", ns=(0, 0))
    assert changes(upper, [str(middle), str(bottom)]) == [
        Change("/d", Kind.MODIFIED),
        Change("/d/hidden", Kind.ADDED),
        Change("/gone", Kind.ADDED),
        Change("/was-file", Kind.MODIFIED),
    ]


def test_links_in_a_layer_lead_nowhere(tmp_path: Path) -> None:
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    (upper / "d").mkdir(parents=True)
    (upper / "d" / "passwd").touch()
    lower.mkdir()
    (lower / "d").symlink_to("/etc")
    assert changes(upper, [str(lower)]) == [Change("/d", Kind.MODIFIED), Change("/d/passwd", Kind.ADDED)]


@pytest.mark.parametrize("running", [True, False])
def test_an_export_is_the_merged_root(caisd: Daemon, running: bool) -> None:
    script = "rm /bin/vi; echo new > /etc/passwd; mkdir /d; echo x > /d/f; ln /d/f /d/g; touch /ready; "
    container = run(
        caisd, "sh", "-c", script + ("sleep 100" if running else "true"),
        host_config={"Binds": ["/etc:/host:ro"], "Tmpfs": {"/scratch": ""}},
    )  # fmt: skip
    wait_until(lambda: "/ready" in caisd.docker_output("diff", container))
    with _export(caisd, container) as archive:
        names = archive.getnames()
        assert {"bin/sh", "d/f", "d/g", "dev", "proc"} <= set(names)
        assert "bin/vi" not in names
        assert not [name for name in names if name.startswith(("host/", "proc/", "scratch/", "sys/"))]
        passwd = archive.extractfile("etc/passwd")
        assert passwd is not None
        assert passwd.read() == b"new\n"
        assert archive.getmember("d/g").islnk() != archive.getmember("d/f").islnk()
    assert events(caisd, container=[container], event=["export"])


def test_an_export_can_be_imported(caisd: Daemon) -> None:
    container = run(caisd, "sh", "-c", "echo hello > /greeting")
    caisd.docker_output("wait", container)
    body = caisd.ask("GET", f"/containers/{container}/export").body
    assert caisd.ask("POST", "/images/create?fromSrc=-&repo=again", body).status == 200
    assert caisd.docker_output("run", "--rm", "again", "/bin/cat", "/greeting") == "hello"


def test_an_export_that_nobody_reads_leaves_nothing(caisd: Daemon) -> None:
    container = create(caisd, "true")
    for _ in range(3):
        connection = UnixConnection(caisd.socket, 20)
        connection.request("GET", f"/containers/{container}/export")
        connection.getresponse().read(100)
        connection.close()
    assert caisd.ask("DELETE", f"/containers/{container}").status == 204
    wait_until(lambda: not [path for path in os.listdir(f"/proc/{caisd.pid}/fd") if _is_overlay(caisd.pid, path)])


def _is_overlay(pid: int, descriptor: str) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/fd/{descriptor}") == "/" and os.stat(
            f"/proc/{pid}/fd/{descriptor}"
        ).st_dev != os.stat("/").st_dev  # fmt: skip
    except OSError:
        return False


def test_prune_removes_what_does_not_run(caisd: Daemon) -> None:
    running = run(caisd, "sleep", "100")
    made = create(caisd, "true")
    ended = run(caisd, "sh", "-c", "head -c 100000 /dev/zero > /big")
    caisd.docker_output("wait", ended)
    pruned = _prune(caisd)
    assert {item.text for item in pruned["ContainersDeleted"].items} == {made, ended}
    assert pruned["SpaceReclaimed"].number >= 100_000
    assert caisd.containers() == [running]
    assert _prune(caisd)["ContainersDeleted"].value is None
    assert events(caisd, type=["container"], event=["prune"])


def test_prune_with_filters(caisd: Daemon) -> None:
    one = create(caisd, "true", Labels={"a": "1"})
    two = create(caisd, "true", Labels={"a": "2", "keep": ""})
    three = create(caisd, "true")
    assert _prune(caisd, until=["1h"])["ContainersDeleted"].value is None
    assert [item.text for item in _prune(caisd, label=["a"], **{"label!": ["keep"]})["ContainersDeleted"].items] == [
        one
    ]
    assert [item.text for item in _prune(caisd, label=["a=2"])["ContainersDeleted"].items] == [two]
    assert refused(caisd, "POST", f"/containers/prune?filters={quote(json.dumps({'x': ['y']}))}") == (
        400,
        "invalid filter 'x'",
    )
    assert caisd.containers() == [three]


def test_disk_usage(caisd: Daemon) -> None:
    container = run(caisd, "sh", "-c", "head -c 5000 /dev/zero > /big; sleep 100")
    wait_until(lambda: "/big" in caisd.docker_output("diff", container))
    shown = caisd.ask("GET", "/system/df").json
    assert shown["LayersSize"].number > 100_000
    assert [item["SizeRw"].number >= 5000 for item in shown["Containers"].items] == [True]
    image = next(item for item in shown["Images"].items if "busybox:latest" in repr(item["RepoTags"]))
    assert image["Containers"].number == 1
    only = caisd.ask("GET", "/system/df?type=container").json
    assert isinstance(only.value, dict)
    assert list(only.value) == ["Containers"]
    assert refused(caisd, "GET", "/system/df?type=thing")[0] == 400
