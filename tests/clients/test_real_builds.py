"""Dockerfiles as people write them, on a Debian that is made of packages: compilers, packages, services."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.engine import Daemon, wait_until
from tests.harness.packages import npm_tarball, wheel

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


def build(
    daemon: Daemon, folder: Path, tag: str, *options: str, timeout_seconds: float = 150
) -> "subprocess.CompletedProcess[str]":
    words = ("build", "-t", tag, *options, str(folder))
    made = daemon.docker(*words, environment={"DOCKER_BUILDKIT": "0"}, timeout_seconds=timeout_seconds)
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


def base_with(daemon: Daemon, folder: Path, tag: str, packages: str) -> None:
    """What a language's image is elsewhere: a Debian with its tools."""
    base = folder / "base"
    base.mkdir()
    install = f"apt-get update -q && apt-get install -qy --no-install-recommends {packages}"
    (base / "Dockerfile").write_text(
        f"FROM {DEBIAN}\nENV DEBIAN_FRONTEND=noninteractive\nRUN {install} && rm -rf /var/lib/apt/lists/*\n"
    )
    build(daemon, base, tag, timeout_seconds=400)


@pytest.mark.timeout(700)
def test_a_service_of_node_with_a_lock_file(debian: Daemon, tmp_path: Path) -> None:
    base_with(debian, tmp_path, "node-tools", "nodejs npm")
    folder = tmp_path / "service"
    folder.mkdir()
    package, integrity = npm_tarball("greet", "1.2.0", "module.exports = (who) => `Hello ${who}`;\n")
    (folder / "greet-1.2.0.tgz").write_bytes(package)
    about = {"name": "service", "version": "1.0.0", "dependencies": {"greet": "file:greet-1.2.0.tgz"}}
    locked = {"version": "1.2.0", "resolved": "file:greet-1.2.0.tgz", "integrity": integrity}
    lock = {**about, "lockfileVersion": 3, "packages": {"": about, "node_modules/greet": locked}}
    (folder / "package.json").write_text(json.dumps(about))
    (folder / "package-lock.json").write_text(json.dumps(lock))
    (folder / "server.js").write_text(
        'const greet = require("greet");\n'
        'require("http").createServer((_, answer) => answer.end(greet(process.env.WHO))).listen(3000);\n'
    )
    (folder / ".dockerignore").write_text("node_modules\n")
    (folder / "Dockerfile").write_text(
        "FROM node-tools AS deps\nWORKDIR /app\nCOPY package.json package-lock.json *.tgz ./\n"
        "RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev --no-audit --no-fund\n"
        "FROM node-tools\nENV NODE_ENV=production WHO=world\nWORKDIR /app\n"
        "COPY --from=deps --chown=nobody /app/node_modules ./node_modules\n"
        "COPY --chown=nobody server.js package.json ./\n"
        'USER nobody\nEXPOSE 3000\nCMD ["node", "server.js"]\n'
    )
    build(debian, folder, "node-service")
    container = debian.docker_output("run", "-d", "node-service")
    fetch = "fetch('http://127.0.0.1:3000').then(a => a.text()).then(console.log)"
    wait_until(lambda: debian.docker("exec", container, "node", "-e", fetch).stdout == "Hello world\n", 20)
    (folder / "server.js").write_text("console.log('changed')\n")
    again = build(debian, folder, "node-service")
    assert again.stdout.count("Using cache") == 6
    assert debian.docker_output("run", "--rm", "node-service") == "changed"
    (folder / "package-lock.json").write_text(json.dumps(lock).replace(integrity[:20], "sha512-AAAAAAAAAAAAA"))
    refused = debian.docker("build", str(folder), environment={"DOCKER_BUILDKIT": "0"}, timeout_seconds=150)
    assert refused.returncode == 1
    assert "EINTEGRITY" in refused.stdout + refused.stderr


@pytest.mark.timeout(700)
def test_a_service_of_python_with_hashed_requirements(debian: Daemon, tmp_path: Path) -> None:
    base_with(debian, tmp_path, "python-tools", "python3-minimal python3-venv python3-pip")
    folder = tmp_path / "service"
    (folder / "wheels").mkdir(parents=True)
    name, package, digest = wheel("greet", "1.2.0", "def greet(who):\n    return f'Hello {who}'\n")
    (folder / "wheels" / name).write_bytes(package)
    (folder / "requirements.txt").write_text(f"greet==1.2.0 --hash={digest}\n")
    (folder / "app.py").write_text("import greet\nprint(greet.greet('world'))\n")
    (folder / "Dockerfile").write_text(
        "# syntax=docker/dockerfile:1\nFROM python-tools AS packages\n"
        "RUN python3 -m venv /venv\nCOPY requirements.txt .\n"
        "RUN --mount=type=cache,target=/root/.cache/pip --mount=type=bind,source=wheels,target=/wheels \\\n"
        "    /venv/bin/pip install --no-index --find-links /wheels --require-hashes -r requirements.txt\n"
        "FROM python-tools\nENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1\n"
        "COPY --from=packages --link /venv /venv\nWORKDIR /app\nCOPY app.py .\nUSER 1000\n"
        'ENTRYPOINT ["python3"]\nCMD ["app.py"]\n'
    )
    build(debian, folder, "python-service")
    assert debian.docker_output("run", "--rm", "python-service") == "Hello world"
    found = debian.docker("run", "--rm", "python-service", "-c", "import os; print(os.path.exists('/wheels'))")
    assert found.stdout == "False\n"
    (folder / "requirements.txt").write_text(f"greet==1.2.0 --hash=sha256:{'0' * 64}\n")
    refused = debian.docker("build", str(folder), environment={"DOCKER_BUILDKIT": "0"}, timeout_seconds=150)
    assert refused.returncode == 1
    assert "DO NOT MATCH THE HASHES" in refused.stdout + refused.stderr


@pytest.mark.timeout(600)
def test_packages_are_fetched_and_installed_from_a_container_s_network(debian: Daemon) -> None:
    script = (
        "apt-get update -q && apt-get install -qy --no-install-recommends iputils-ping && "
        "ping -c 1 -W 2 host.docker.internal"
    )
    installed = debian.docker("run", "--rm", DEBIAN, "sh", "-c", script, timeout_seconds=150)
    assert installed.returncode == 0, installed.stdout[-2000:] + installed.stderr
    assert " 0% packet loss" in installed.stdout
