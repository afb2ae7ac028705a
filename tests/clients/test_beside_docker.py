"""Images that are built here run in a real Docker, and what that one saves is the same image here."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.build import build
from tests.harness.engine import Daemon

DOCKER = os.environ.get("CAIS_TEST_DOCKER", "")
TAG, BASE = "cais-test-beside:1", "cais-test-beside:base"

pytestmark = pytest.mark.skipif(not DOCKER, reason="CAIS_TEST_DOCKER names no real Docker")

BUILT = """FROM busybox AS one
RUN mkdir -p /d/e && echo gone > /d/gone && echo kept > /d/kept && ln /d/kept /d/hard && mkfifo /d/fifo
FROM one
RUN rm /d/gone && rm -r /d/e && mkdir /d/e && echo new > /d/e/new && chmod 4755 /d/kept && chown 5:6 /d/e
COPY --chmod=600 <<END /copied
text
END
ENV X="y z"
HEALTHCHECK --interval=1s CMD true
USER 7:8
WORKDIR /w
EXPOSE 80
VOLUME /v
STOPSIGNAL SIGINT
ENTRYPOINT ["sh", "-c"]
CMD ["ls -ln /d /d/e /copied; id; pwd; echo $X"]
"""


def docker(*words: str) -> str:
    done = subprocess.run(["docker", "-H", DOCKER, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def cleaned() -> Iterator[None]:
    yield
    subprocess.run(["docker", "-H", DOCKER, "rmi", "-f", TAG, BASE], capture_output=True, timeout=60, check=False)


@pytest.mark.usefixtures("cleaned")
def test_an_image_goes_to_docker_and_comes_back(session_caisd: Daemon, tmp_path: Path) -> None:
    there, back = tmp_path / "there.tar", tmp_path / "back.tar"
    made = build(session_caisd, BUILT, t=TAG).image
    runs = ("run", "--rm", "--network", "none", TAG)
    told = session_caisd.docker_output(*runs)
    assert "-rwsr-xr-x" in told
    session_caisd.docker_output("save", "-o", str(there), TAG)
    docker("load", "-i", str(there))
    assert docker(*runs).strip() == told
    assert docker("image", "inspect", "-f", "{{.Id}}", TAG).strip() == made
    docker("save", "-o", str(back), TAG)
    session_caisd.docker_output("rmi", "-f", TAG)
    session_caisd.docker_output("load", "-i", str(back))
    assert session_caisd.docker_output("image", "inspect", "-f", "{{.Id}}", TAG) == made
    assert session_caisd.docker_output(*runs) == told
    session_caisd.docker_output("rmi", "-f", TAG)
    session_caisd.docker_output("builder", "prune", "-af")


@pytest.mark.usefixtures("cleaned")
def test_what_docker_has_built_is_built_upon(session_caisd: Daemon, tmp_path: Path) -> None:
    base = tmp_path / "busybox.tar"
    session_caisd.docker_output("tag", "busybox", BASE)
    session_caisd.docker_output("save", "-o", str(base), BASE)
    docker("load", "-i", str(base))
    (tmp_path / "Dockerfile").write_text(
        f"FROM {BASE}\nRUN echo there > /there; rm /bin/vi\nONBUILD RUN echo here > /here\n"
    )
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    command = ["docker", "-H", DOCKER, "build", "-q", "-t", TAG, str(tmp_path)]
    subprocess.run(command, env=environment, capture_output=True, timeout=100, check=True)
    docker("save", "-o", str(base), TAG)
    session_caisd.docker_output("load", "-i", str(base))
    image = build(session_caisd, f"FROM {TAG}\nRUN cat /there /here; test ! -e /bin/vi").image
    assert session_caisd.docker_output("run", "--rm", image, "cat", "/there", "/here") == "there\nhere"
    session_caisd.docker_output("rmi", "-f", image, TAG, BASE)
    session_caisd.docker_output("builder", "prune", "-af")
