"""Debian's docker-registry on loopback, which wants a name and a password."""

import base64
import json
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

USER, PASSWORD = "someone", "pw"
_BCRYPT = "$2y$05$abcdefghijklmnopqrstuuHIrMEWpUCQe2YqFR3sXwQ75u4od..9q"  # of the password
_CONFIG = """\
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}
http: {{addr: "{address}"}}
auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}
"""


@contextmanager
def loopback_registry() -> Iterator[str]:
    """A registry while the context lasts: its address, as the first part of an image's name."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with tempfile.TemporaryDirectory(prefix="cais-test-registry-") as folder:
        config = Path(folder, "config.yml")
        config.write_text(_CONFIG.format(folder=folder, address=address))
        Path(folder, "htpasswd").write_text(f"{USER}:{_BCRYPT}\n")
        program = ["docker-registry", "serve", str(config)]
        process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait(f"http://{address}/v2/", process)
            yield address
        finally:
            process.kill()
            process.wait(10)


def put_index(address: str, repository: str, tag: str, members: Sequence[object]) -> None:
    """Store an OCI index of manifests, given by their descriptors, which the registry has."""
    media_type = "application/vnd.oci.image.index.v1+json"
    body = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": members}).encode()
    secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    headers = {"Content-Type": media_type, "Authorization": f"Basic {secret}"}
    url = f"http://{address}/v2/{repository}/manifests/{tag}"
    request = urllib.request.Request(url, body, headers, method="PUT")
    urllib.request.urlopen(request, timeout=10)  # noqa: S310


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 15
    while True:
        assert process.poll() is None, f"docker-registry ended with {process.returncode}"
        try:
            urllib.request.urlopen(url, timeout=5)  # noqa: S310 -- a URL of our own
        except urllib.error.HTTPError:  # it wants to know who asks: it is there
            return
        except OSError:
            assert time.monotonic() < deadline, "docker-registry does not answer"
            time.sleep(0.05)
