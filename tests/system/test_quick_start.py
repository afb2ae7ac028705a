"""The first command of the README, on the default folders, which a mount namespace keeps apart from this machine's."""

import os
import subprocess

import pytest

from tests.harness.engine import PROJECT

DEFAULT_FOLDERS = ("/run/cais", "/var/lib/cais", "/var/log/cais")
HIDE_DEFAULT_FOLDERS = """
    set -eu
    for folder in /run/cais /var/lib/cais /var/log/cais; do
        mkdir -p $folder
        mount -t tmpfs -o mode=755 none $folder
    done
    end() {
        pid=$(cat /run/cais/caisd.pid)
        kill $pid
        while kill -0 $pid 2>/dev/null; do sleep 0.05; done
    }
    trap end EXIT
"""


def _play(script: str) -> subprocess.CompletedProcess[str]:
    if os.path.exists("/run/cais/cais.sock"):
        pytest.skip("a caisd of this machine is at work on the default folders")
    made = [folder for folder in DEFAULT_FOLDERS if not os.path.isdir(folder)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CAIS_", "DOCKER_"))}
    try:
        return subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", HIDE_DEFAULT_FOLDERS + script],
            check=False, capture_output=True, text=True, timeout=120, cwd=PROJECT, env=environment,
        )  # fmt: skip
    finally:
        for folder in made:
            if os.path.isdir(folder):
                os.rmdir(folder)


def test_the_first_command_starts_the_daemon_makes_the_image_and_runs_it() -> None:
    done = _play("""
        bin/cais run --rm cais.local/busybox echo hello
        first=$(cat /run/cais/caisd.pid)
        bin/cais run --rm cais.local/busybox echo again
        [ $first = $(cat /run/cais/caisd.pid) ] && echo the same daemon
        docker -H unix:///run/cais/cais.sock run --rm cais.local/busybox echo from docker
        bin/cais images
    """)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:4] == ["hello", "again", "the same daemon", "from docker"]
    assert "cais.local/busybox" in done.stdout


def test_first_commands_at_the_same_time_share_one_daemon() -> None:
    done = _play("""
        for number in 1 2 3 4; do bin/cais run --rm cais.local/busybox echo $number & done
        wait
        ls /var/lib/cais/containers | wc -l
    """)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == ["0", "1", "2", "3", "4"]


def test_a_command_that_may_not_start_the_daemon_says_what_is_wrong() -> None:
    done = _play("""
        trap - EXIT
        CAIS_AUTOSTART=0 bin/cais ps
    """)
    assert done.returncode == 1
    assert done.stderr.startswith("Cannot connect to the Cais daemon at unix:///run/cais/cais.sock.")
