"""Log drivers and their options, as the files and `docker logs` show them."""

import gzip
import json
from pathlib import Path

import pytest

from tests.harness.engine import Daemon, wait_until
from tests.harness.life import create, logs, refused, run


def _log(driver: str, **options: str) -> dict[str, object]:
    return {"LogConfig": {"Type": driver, "Config": {name.replace("_", "-"): text for name, text in options.items()}}}


def _files(daemon: Daemon, container: str) -> list[Path]:
    return sorted((daemon.data_root / "containers" / container).glob("*-json.log*"))


@pytest.mark.parametrize("driver", ["json-file", "local"])
def test_logs_are_rotated_and_read_across_files(caisd: Daemon, driver: str) -> None:
    options = _log(driver, max_size="10k", max_file="3")
    container = run(caisd, "sh", "-c", "for i in $(seq 1000); do echo line $i; done", host_config=options)
    caisd.docker_output("wait", container)
    files = _files(caisd, container)
    assert len(files) == 3
    assert all(file.stat().st_size < 11_000 for file in files)
    lines = logs(caisd, container)
    assert lines[-1] == "line 1000"
    assert lines == [f"line {number}" for number in range(1001 - len(lines), 1001)]


@pytest.mark.parametrize("driver", ["json-file", "local"])
def test_older_files_are_compressed_and_read_all_the_same(caisd: Daemon, driver: str) -> None:
    options = _log(driver, max_size="20k", max_file="4", compress="true")
    container = run(caisd, "sh", "-c", "for i in $(seq 900); do echo line $i; done; sleep 100", host_config=options)
    wait_until(lambda: "line 900" in logs(caisd, container))
    wait_until(lambda: all(file.suffix in {".log", ".gz"} for file in _files(caisd, container)))
    packed = [file for file in _files(caisd, container) if file.suffix == ".gz"]
    assert len(packed) == 3
    assert b'"log":"line ' in gzip.decompress(packed[0].read_bytes())
    lines = logs(caisd, container)
    assert lines == [f"line {number}" for number in range(901 - len(lines), 901)]
    assert len(lines) > 600
    for count in (1, 250, 500):
        shown = caisd.docker_output("logs", "-n", str(count), container).splitlines()
        assert shown == lines[-count:]


def test_a_follower_loses_nothing_to_compression(caisd: Daemon) -> None:
    options = _log("json-file", max_size="50k", max_file="3", compress="true")
    script = "sleep 0.5; for i in $(seq 3000); do echo line $i; [ $((i % 100)) = 0 ] && sleep 0.02; done"
    container = create(caisd, "sh", "-c", script, host_config=options)
    caisd.docker_output("start", container)
    assert caisd.docker_output("logs", "-f", container).splitlines() == [f"line {number}" for number in range(1, 3001)]


def test_rotation_is_the_default(caisd: Daemon) -> None:
    container = run(caisd, "sh", "-c", "yes 0123456789012345678901234567890123456789 | head -n 250000")
    caisd.docker_output("wait", container)
    assert len(_files(caisd, container)) == 2
    assert _files(caisd, container)[1].stat().st_size < 21_000_000


def test_one_file_without_end_where_asked(caisd: Daemon) -> None:
    container = run(
        caisd, "sh", "-c", "yes 0123456789012345678901234567890123456789 | head -n 250000",
        host_config=_log("json-file", max_size="-1"),
    )  # fmt: skip
    caisd.docker_output("wait", container)
    assert len(_files(caisd, container)) == 1


def test_lines_carry_what_was_asked_for(caisd: Daemon) -> None:
    options = _log("json-file", labels="com.x,none", env="A", env_regex="^B", tag="{{.Name}}/{{.ImageName}}")
    container = run(
        caisd, "echo", 'hel"lo', name="tagged", Labels={"com.x": 'y"z', "other": "1"}, Env=["A=1", "B2=2", "C=3"],
        host_config=options,
    )  # fmt: skip
    caisd.docker_output("wait", container)
    line = json.loads(_files(caisd, container)[0].read_text("utf-8"))
    assert line["attrs"] == {"A": "1", "B2": "2", "com.x": 'y"z', "tag": "tagged/busybox"}
    assert line["log"] == 'hel"lo\n'
    shown = caisd.docker_output("logs", "--details", container)
    assert shown == 'A=1,B2=2,com.x=y%22z,tag=tagged%2Fbusybox hel"lo'


def test_options_that_do_not_exist(caisd: Daemon) -> None:
    def answer(driver: str, **options: str) -> tuple[int, str]:
        return refused(
            caisd, "POST", "/containers/create", {"Image": "busybox", "HostConfig": _log(driver, **options)}
        )  # fmt: skip

    assert answer("json-file", nope="1") == (400, "unknown log opt 'nope' for json-file log driver")
    assert answer("local", tag="x") == (400, "unknown log opt 'tag' for local log driver")
    assert answer("json-file", max_file="0") == (400, "max-file cannot be less than 1")
    assert answer("json-file", tag="{{.Nope}}")[0] == 400
    assert answer("json-file", labels_regex="(")[0] == 400
    assert answer("json-file", compress="true", max_file="1")[0] == 400
    assert answer("syslog")[0] == 501


def test_no_log_is_kept_where_none_is_asked_for(caisd: Daemon) -> None:
    container = run(caisd, "echo", "x", host_config=_log("none"))
    caisd.docker_output("wait", container)
    assert _files(caisd, container) == []
    made = create(caisd, "true", host_config=_log("local"))
    assert caisd.inspect(made)["LogPath"].text == ""
