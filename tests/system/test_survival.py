"""What survives when a part of the engine dies, and what is swept afterwards."""

import contextlib
import http.client
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.harness import host
from tests.harness.engine import Daemon, wait_until
from tests.harness.images import busybox_root

COUNT = "i=0; while [ $i -lt {last} ]; do i=$((i+1)); echo $i; usleep 5000; done; exit 7"


def _counted(last: int) -> str:
    return "".join(f"{number}\n" for number in range(1, last + 1))


def _state(daemon: Daemon, container: str) -> tuple[str, int]:
    state = daemon.inspect(container)["State"]
    return state["Status"].text, state["ExitCode"].number


def _gone(daemon: Daemon, container: str) -> bool:
    return daemon.ask("GET", f"/containers/{container}/json").status == 404


# caisd


def test_running_containers_outlive_a_killed_daemon_and_are_found_again(private_caisd: Daemon) -> None:
    daemon = private_caisd
    daemon.docker_output("run", "-d", "--name", "long", "busybox", "sleep", "1000")
    daemon.docker_output("run", "-d", "--name", "counts", "busybox", "sh", "-c", COUNT.format(last=300))
    daemon.docker_output("run", "-d", "--name", "brief", "busybox", "sh", "-c", "sleep 0.5; echo done; exit 9")
    pid = daemon.container_pid("long")
    daemon.kill()
    time.sleep(1)
    daemon.start()

    assert daemon.container_pid("long") == pid
    assert _state(daemon, "brief") == ("exited", 9)
    assert daemon.docker("logs", "brief").stdout == "done\n"
    assert daemon.docker_output("wait", "counts", timeout_seconds=60) == "7"
    assert daemon.docker("logs", "counts").stdout == _counted(300)
    # What was found again can be used like any other.
    assert daemon.docker_output("exec", "long", "echo", "hello") == "hello"
    assert "sleep 1000" in daemon.docker_output("top", "long")
    daemon.docker_output("stop", "-t", "1", "long")
    assert _state(daemon, "long") == ("exited", 137)


def test_a_restarted_daemon_finds_many_running_containers_within_a_second(private_caisd: Daemon) -> None:
    daemon = private_caisd
    names = [daemon.docker_output("run", "-d", "busybox", "sleep", "1000") for _ in range(10)]
    daemon.kill()
    daemon.start()
    answered = time.monotonic()
    assert [_state(daemon, name)[0] for name in names] == ["running"] * 10
    assert time.monotonic() - answered < 1


def test_an_attached_client_goes_on_while_the_daemon_is_dead(private_caisd: Daemon) -> None:
    """The streams are between the client and the monitor: caisd is no part of them."""
    daemon = private_caisd
    daemon.docker_output("run", "-d", "-i", "--name", "echo", "busybox", "cat")
    # not "run": it asks when the container ends, too, and may give up when nobody answers that
    client = daemon.docker_start("attach", "echo", stdin=subprocess.PIPE)
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write(b"before\n")
    client.stdin.flush()
    assert client.stdout.readline() == b"before\n"
    daemon.kill()
    client.stdin.write(b"after\n")
    client.stdin.flush()
    assert client.stdout.readline() == b"after\n"
    client.kill()
    client.communicate()
    daemon.start()
    assert _state(daemon, "echo") == ("running", 0)
    assert daemon.docker("logs", "echo").stdout == "before\nafter\n"


def test_a_container_to_be_removed_at_its_end_is_removed_by_the_next_daemon(private_caisd: Daemon) -> None:
    daemon = private_caisd
    daemon.docker_output("run", "-d", "--rm", "--name", "gone", "busybox", "sleep", "0.5")
    daemon.kill()
    time.sleep(1)
    daemon.start()
    wait_until(lambda: _gone(daemon, "gone"))


def test_a_clean_stop_leaves_containers_running_and_nothing_of_the_daemon(private_caisd: Daemon) -> None:
    daemon = private_caisd
    daemon.docker_output("run", "-d", "--name", "long", "busybox", "sleep", "1000")
    pid = daemon.container_pid("long")
    spawner = daemon.spawner_pid
    assert daemon.stop() == 0
    assert host.alive(pid)
    wait_until(lambda: not host.alive(spawner))
    assert not os.path.exists(daemon.socket)
    assert "Traceback" not in daemon.log_text()
    daemon.start()
    assert daemon.container_pid("long") == pid


def test_a_second_daemon_on_the_same_state_is_refused(private_caisd: Daemon) -> None:
    daemon = private_caisd
    command = daemon.command()
    second = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20, env=daemon.environment())
    assert second.returncode == 1
    assert str(daemon.data_root) in second.stderr
    assert "Traceback" not in second.stderr
    # On another run folder too: the state folder is what must not be shared.
    command[command.index("--exec-root") + 1] = str(daemon.root / "run2")
    command[command.index("-H") + 1] = f"unix://{daemon.root}/other.sock"
    third = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20, env=daemon.environment())
    assert third.returncode == 1
    assert daemon.answers()
    assert daemon.docker_output("run", "--rm", "busybox", "echo", "still here") == "still here"


@pytest.mark.parametrize("kind", ["file", "below a file", "read-only"])
def test_a_state_folder_that_cannot_be_written_is_a_clear_error(clean_host: None, kind: str) -> None:
    daemon = Daemon()
    try:
        match kind:
            case "file":
                daemon.data_root.write_text("in the way")
            case "below a file":
                (daemon.root / "file").write_text("in the way")
                daemon.data_root = daemon.root / "file" / "data"
            case _:
                daemon.data_root = Path("/proc/cais")
        done = subprocess.run(
            daemon.command(), check=False, capture_output=True, text=True, timeout=20, env=daemon.environment()
        )
        assert done.returncode == 1
        assert str(daemon.data_root) in done.stderr
        assert "Traceback" not in done.stderr
    finally:
        daemon.destroy_folders()


def test_only_root_may_start_the_daemon(clean_host: None) -> None:
    daemon = Daemon()
    try:
        daemon.root.chmod(0o777)
        command = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *daemon.command()]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=20, env=daemon.environment()
        )
        assert done.returncode == 1
        assert "root" in done.stderr
        assert "Traceback" not in done.stderr
    finally:
        daemon.destroy_folders()


def test_a_daemon_killed_at_any_moment_leaves_each_container_whole_or_absent(private_caisd: Daemon) -> None:
    daemon = private_caisd
    chance = random.Random(2)
    names = [f"c{number}" for number in range(4)]

    def work(name: str) -> None:
        commands = [
            ["create", "--name", name, "busybox", "sleep", "1000"],
            ["start", name],
            ["exec", name, "true"],
            ["stop", "-t", "0", name],
            ["rm", "-f", name],
        ]
        for command in commands:
            daemon.docker(*command)

    for _ in range(12):
        workers = [threading.Thread(target=work, args=(name,)) for name in names]
        for worker in workers:
            worker.start()
        time.sleep(chance.uniform(0.05, 1.0))
        daemon.kill()
        for worker in workers:
            worker.join(60)
        daemon.start()
        for name in names:
            answer = daemon.ask("GET", f"/containers/{name}/json")
            if answer.status == 404:
                continue
            state = answer.json["State"]
            assert state["Status"].text in {"created", "running", "exited", "dead"}
            if state["Running"].flag:
                assert host.alive(state["Pid"].number)
                assert daemon.docker_output("exec", name, "echo", "usable") == "usable"
            assert daemon.ask("DELETE", f"/containers/{name}?force=1").status == 204
        assert daemon.containers() == []
    _nothing_is_left_of_containers(daemon)


def test_everything_killed_at_once_leaves_dead_containers_that_start_again(private_caisd: Daemon) -> None:
    """A power cut, as far as it can be had without one: every process is gone, mounts and cgroups are not."""
    daemon = private_caisd
    daemon.docker_output("run", "-d", "--name", "one", "busybox", "sh", "-c", "touch /kept; sleep 1000")
    daemon.docker_output("run", "-d", "--rm", "--name", "two", "busybox", "sleep", "1000")
    wait_until(lambda: daemon.docker("exec", "one", "test", "-e", "/kept").returncode == 0)
    victims = [daemon.spawner_pid]
    for name in ("one", "two"):
        victims += [daemon.monitor_pid(name), daemon.container_pid(name)]
    for pid in [daemon.pid, *victims]:
        os.kill(pid, signal.SIGKILL)
    daemon.kill()
    wait_until(lambda: not any(host.alive(pid) for pid in victims))
    daemon.start()
    status, code = _state(daemon, "one")
    assert status in {"exited", "dead"}
    assert code != 0
    wait_until(lambda: _gone(daemon, "two"))
    daemon.docker_output("start", "one")
    assert daemon.docker("exec", "one", "test", "-e", "/kept").returncode == 0


def test_a_truncated_exit_record_is_survived(private_caisd: Daemon) -> None:
    daemon = private_caisd
    identity = daemon.docker_output("run", "-d", "--name", "cut", "busybox", "sleep", "0.5")
    daemon.kill()
    record = daemon.data_root / "containers" / identity / "exit.json"
    wait_until(record.exists)
    record.write_bytes(b"")
    daemon.start()
    assert _state(daemon, "cut")[0] in {"exited", "dead"}
    assert daemon.ask("DELETE", "/containers/cut").status == 204


def test_what_a_crash_left_behind_is_swept_at_the_start(private_caisd: Daemon) -> None:
    daemon = private_caisd
    identity = daemon.docker_output("run", "-d", "--rm", "busybox", "sleep", "100")
    groups = host.cgroup_folders(identity)
    assert groups
    daemon.docker_output("kill", identity)
    wait_until(lambda: _gone(daemon, identity))
    daemon.stop()

    stray = "0" * 64
    folders = [
        daemon.data_root / "containers" / stray / "rw",
        daemon.exec_root / "containers" / stray / "rootfs",
        daemon.data_root / "layers" / stray / "diff",
        daemon.data_root / "tmp" / "half-written",
    ]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "file").write_text("stray")
    left = [*folders, *(Path(str(path).replace(identity, stray)) for path in groups)]
    for group in left[len(folders) :]:
        group.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", str(folders[1])], check=True)
    try:
        daemon.start()
        wait_until(
            lambda: not any(path.exists() for path in left), 10, lambda: f"left: {[str(p) for p in left if p.exists()]}"
        )
    finally:
        subprocess.run(["umount", "-q", str(folders[1])], check=False)
    assert daemon.docker_output("run", "--rm", "busybox", "echo", "fine") == "fine"


def test_a_daemon_killed_while_an_image_comes_in_has_all_of_it_or_nothing(private_caisd: Daemon) -> None:
    daemon = private_caisd
    root = busybox_root()
    root.file("big", os.urandom(60 << 20))
    archive = root.finish()
    for delay in (0.05, 0.2, 0.5):
        worker = threading.Thread(
            target=lambda: _ignore_lost_connection(daemon, "/images/create?fromSrc=-&repo=partial", archive)
        )
        worker.start()
        time.sleep(delay)
        daemon.kill()
        worker.join(60)
        daemon.start()
        if daemon.ask("GET", "/images/partial/json").status == 200:
            shown = daemon.docker_output("run", "--rm", "partial", "/bin/wc", "-c", "/big")
            assert shown.split()[0] == str(60 << 20)
            daemon.docker_output("rmi", "partial")
    known = daemon.docker_output("run", "--rm", "busybox", "echo", "fine")
    assert known == "fine"
    assert len(list((daemon.data_root / "layers").iterdir())) == 1
    # os.walk passes over what is deleted meanwhile
    wait_until(lambda: not [name for _, _, files in os.walk(daemon.data_root / "tmp") for name in files])


# The monitor


def test_a_killed_monitor_takes_its_container_with_it_and_no_other(private_caisd: Daemon) -> None:
    daemon = private_caisd
    daemon.docker_output("run", "-d", "--name", "victim", "busybox", "sh", "-c", "echo said; sleep 1000")
    daemon.docker_output("run", "-d", "--name", "other", "busybox", "sleep", "1000")
    wait_until(lambda: daemon.docker("logs", "victim").stdout == "said\n")
    pid, other = daemon.container_pid("victim"), daemon.container_pid("other")
    os.kill(daemon.monitor_pid("victim"), signal.SIGKILL)
    wait_until(lambda: not host.alive(pid))
    wait_until(lambda: _state(daemon, "victim")[0] in {"exited", "dead"})
    assert not daemon.inspect("victim")["State"]["Running"].flag
    assert daemon.docker("logs", "victim").stdout == "said\n"
    assert daemon.docker("exec", "victim", "true").returncode == 1
    assert daemon.container_pid("other") == other
    assert daemon.docker_output("exec", "other", "echo", "fine") == "fine"
    daemon.docker_output("rm", "victim")
    daemon.docker_output("rm", "-f", "other")
    _nothing_is_left_of_containers(daemon)


def test_a_container_whose_monitor_was_killed_can_be_started_again(private_caisd: Daemon) -> None:
    daemon = private_caisd
    daemon.docker_output("run", "-d", "--name", "victim", "busybox", "sleep", "1000")
    os.kill(daemon.monitor_pid("victim"), signal.SIGKILL)
    wait_until(lambda: not daemon.inspect("victim")["State"]["Running"].flag)
    daemon.docker_output("start", "victim")
    assert daemon.docker_output("exec", "victim", "echo", "back") == "back"


def test_a_monitor_killed_while_no_daemon_was_there_is_found_out(private_caisd: Daemon) -> None:
    daemon = private_caisd
    daemon.docker_output("run", "-d", "--name", "victim", "busybox", "sleep", "1000")
    pid, monitor = daemon.container_pid("victim"), daemon.monitor_pid("victim")
    daemon.kill()
    os.kill(monitor, signal.SIGKILL)
    time.sleep(0.2)
    daemon.start()
    assert not daemon.inspect("victim")["State"]["Running"].flag
    wait_until(lambda: not host.alive(pid))
    daemon.docker_output("rm", "victim")
    _nothing_is_left_of_containers(daemon)


# The spawner


def test_a_killed_spawner_is_not_noticed(private_caisd: Daemon) -> None:
    daemon = private_caisd
    daemon.docker_output("run", "-d", "--name", "before", "busybox", "sleep", "1000")
    pid, spawner = daemon.container_pid("before"), daemon.spawner_pid
    os.kill(spawner, signal.SIGKILL)
    assert daemon.docker_output("run", "--rm", "busybox", "echo", "next") == "next"
    assert daemon.container_pid("before") == pid
    assert daemon.docker_output("exec", "before", "echo", "fine") == "fine"
    assert daemon.spawner_pid != spawner


def test_a_spawner_killed_again_and_again_fails_no_start(private_caisd: Daemon) -> None:
    daemon = private_caisd
    stop = threading.Event()

    def kill_spawners() -> None:
        while not stop.wait(0.4):
            for pid in host.children(daemon.pid):
                os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_spawners)
    killer.start()
    try:
        for number in range(20):
            assert daemon.docker_output("run", "--rm", "busybox", "echo", str(number)) == str(number)
    finally:
        stop.set()
        killer.join()


# Failures of a start


def test_a_start_that_fails_leaves_nothing(private_caisd: Daemon) -> None:
    daemon = private_caisd
    for options in (["no-such-command"], ["-w", "/etc/passwd", "true"], ["-u", "nobody-here", "true"]):
        command = ["create", *options[:-1], "busybox", options[-1]]
        identity = daemon.docker_output(*command)
        assert daemon.docker("start", identity).returncode == 1
        assert daemon.inspect(identity)["State"]["Status"].text == "created"
        daemon.docker_output("rm", identity)
    _nothing_is_left_of_containers(daemon)


def _nothing_is_left_of_containers(daemon: Daemon) -> None:
    """No process with a file of a container open, no folder, no mount."""
    folders = [daemon.data_root / "containers", daemon.exec_root / "containers"]

    def left() -> list[str]:
        pids = {pid for folder in folders for pid in host.processes_naming(f"{folder}/")}
        return [
            *(host.command_line(pid) for pid in pids - {daemon.pid}),
            *(str(path) for folder in folders for path in folder.iterdir()),
            *(line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(daemon.root) in line),
        ]

    wait_until(lambda: not left(), 10, lambda: f"left: {left()}")


def _ignore_lost_connection(daemon: Daemon, path: str, body: bytes) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):
        daemon.ask("POST", path, body)
