"""Dockerfiles as people write them, on a Debian that is made of packages: compilers, packages, a service."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.engine import Daemon, wait_until

DEBIAN = "cais.local/debian"


@pytest.fixture(scope="module")
def debian(session_caisd: Daemon) -> Iterator[Daemon]:
    """The session's caisd with a Debian, and without what was built on it at the end."""
    before = set(session_caisd.docker_output("images", "-aq", "--no-trunc").split())
    session_caisd.docker_output("pull", "-q", DEBIAN, timeout_seconds=280)
    yield session_caisd
    session_caisd.remove_containers()
    for image in set(session_caisd.docker_output("images", "-aq", "--no-trunc").split()) - before:
        session_caisd.docker("rmi", "-f", image)
    session_caisd.docker_output("builder", "prune", "-af")


def build(daemon: Daemon, folder: Path, tag: str, *options: str) -> "subprocess.CompletedProcess[str]":
    made = daemon.docker(
        "build", "-t", tag, *options, str(folder), environment={"DOCKER_BUILDKIT": "0"}, timeout_seconds=150
    )
    assert made.returncode == 0, made.stdout[-2000:] + made.stderr
    return made


@pytest.mark.timeout(600)
def test_a_compiler_and_a_scratch_end(debian: Daemon, tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text(
        'void _start(void) { __asm__ volatile("mov $60, %rax; mov $42, %rdi; syscall"); }\n'
    )
    (tmp_path / "Dockerfile").write_text(
        f"FROM {DEBIAN} AS compile\n"
        "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \\\n"
        "    --mount=type=cache,target=/var/lib/apt,sharing=locked \\\n"
        "    rm -f /etc/apt/apt.conf.d/docker-clean && apt-get update -q \\\n"
        "    && apt-get install -qy --no-install-recommends tcc\n"
        "WORKDIR /src\nCOPY main.c .\nRUN tcc -nostdlib -static -o /program main.c\n"
        'FROM scratch\nCOPY --from=compile /program /\nENTRYPOINT ["/program"]\n'
    )
    build(debian, tmp_path, "compiled")
    assert debian.docker("run", "--rm", "--network", "none", "compiled").returncode == 42
    size = int(debian.docker_output("image", "inspect", "-f", "{{.Size}}", "compiled"))
    assert size < 10_000
    kept = debian.ask("GET", "/system/df?type=build-cache").json["BuildCache"].items
    mounts = {item["Description"].text for item in kept if item["Type"].text == "exec.cachemount"}
    assert {"cached mount /var/cache/apt", "cached mount /var/lib/apt"} <= mounts


@pytest.mark.timeout(600)
def test_a_service_with_packages_a_user_and_a_health_check(debian: Daemon, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "serve.py").write_text(
        "import http.server, os\nos.chdir('/srv/data')\n"
        "http.server.ThreadingHTTPServer(('', 8000), http.server.SimpleHTTPRequestHandler).serve_forever()\n"
    )
    (tmp_path / "Dockerfile").write_text(
        f"FROM {DEBIAN}\n"
        "ENV DEBIAN_FRONTEND=noninteractive\n"
        "RUN apt-get update -q && apt-get install -qy --no-install-recommends python3-minimal libpython3-stdlib \\\n"
        "    && rm -rf /var/lib/apt/lists/*\n"
        "RUN useradd --system --uid 900 --home /srv app && mkdir -p /srv/data && echo served > /srv/data/index.html\n"
        "WORKDIR /srv/app\nCOPY --chown=app app .\nUSER app\nEXPOSE 8000\nVOLUME /srv/data\n"
        'HEALTHCHECK --interval=200ms --timeout=5s CMD ["python3", "-c", '
        "\"import urllib.request as r; r.urlopen('http://127.0.0.1:8000/')\"]\n"
        'CMD ["python3", "serve.py"]\n'
    )
    build(debian, tmp_path, "service")
    container = debian.docker_output("run", "-d", "service")
    wait_until(lambda: debian.inspect(container)["State"]["Health"]["Status"].text == "healthy", 20)
    fetch = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000/').read().decode().strip())"
    assert debian.docker_output("exec", container, "python3", "-c", fetch) == "served"
    assert debian.docker_output("exec", container, "id", "-u") == "900"
    (tmp_path / "app" / "serve.py").write_text("print('changed')\n")
    again = build(debian, tmp_path, "service")
    assert again.stdout.count("Using cache") == 4
    assert debian.docker_output("run", "--rm", "service") == "changed"
