"""A real registry for tests, Debian's docker-registry, on a port of its own: plain, with TLS, or with a password."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.harness import host

USER, PASSWORD = "someone", "let me in"
# bcrypt of PASSWORD, as `htpasswd -B` writes it
_HTPASSWD = "someone:$2b$05$Ax8DJ1GEAJOlXqSs5qLgFufTz8wU4smVHq1bNaZaldiQJdxqwphMe\n"


class RealRegistry:
    """A running registry. `name` is its host and port, as image names have it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.name = f"localhost:{port}"
        self.certificate = folder / "ca.crt"

    @property
    def log(self) -> str:
        """What it has logged: a line for each request."""
        return (self.folder / "log").read_text("utf-8", errors="replace")

    def requests(self, method: str, part: str) -> list[str]:
        """The lines of requests of a method whose address has `part` in it."""
        return [line for line in self.log.splitlines() if f'"{method} /v2/' in line and part in line]

    def forget_requests(self) -> None:
        """Begin the log anew."""
        os.truncate(self.folder / "log", 0)

    def get(self, path: str) -> bytes:
        """What a plain registry answers."""
        accepted = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
        asked = urllib.request.Request(f"http://{self.name}{path}", headers={"Accept": accepted})
        with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310  it is http
            return bytes(answer.read())


@contextlib.contextmanager
def real_registry(*, tls: bool = False, password: bool = False, mutual: bool = False) -> Iterator[RealRegistry]:
    """A registry for the time of the block. mutual: who asks needs the certificate and key of `RealRegistry.folder`."""
    folder = Path(tempfile.mkdtemp(prefix=host.SESSION_ROOT_PREFIX))
    registry = RealRegistry(folder, _free_port())
    http: list[str] = [f"http: {{addr: '127.0.0.1:{registry.port}'"]
    if tls:
        _make_certificate(folder)
        clients = f", clientcas: ['{folder}/ca.crt']" if mutual else ""
        http.append(f", tls: {{certificate: {folder}/ca.crt, key: {folder}/server.key{clients}}}")
    auth = ""
    if password:
        (folder / "htpasswd").write_text(_HTPASSWD)
        auth = f"auth: {{htpasswd: {{realm: tests, path: {folder}/htpasswd}}}}\n"
    (folder / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/store}}, delete: {{enabled: true}}}}\n"
        + "".join(http) + "}\n" + auth
    )  # fmt: skip
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=os.environ | {"OTEL_TRACES_EXPORTER": "none", host.TEST_ENVIRONMENT: "registry"},
        )  # fmt: skip
    try:
        _wait_for(registry.port, process)
        yield registry
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 20
    while True:
        assert process.poll() is None, "the registry has ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < deadline, "the registry does not listen"
        time.sleep(0.05)


def _make_certificate(folder: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,DNS:registry.test,IP:127.0.0.1",
         "-keyout", str(folder / "server.key"), "-out", str(folder / "ca.crt")],
        check=True, capture_output=True,
    )  # fmt: skip
