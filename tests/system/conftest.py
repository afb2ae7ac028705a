"""The system tests: by feature, as root, on the real kernel. Every one of them is under the check for leavings."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.harness.engine import Daemon
from tests.harness.inside import HOST_MARK
from tests.harness.runtime import Lab, make_image, new_lab


@pytest.fixture(scope="session", autouse=True)
def host_is_left_clean(clean_host: None) -> None:
    """Applies the check to every test of this folder, whether it starts a daemon or not."""


@pytest.fixture
def marker(caisd: Daemon) -> Path:
    """A file of the host, with HOST_MARK in it, that no container may see."""
    path = caisd.root / "host-marker"
    path.write_text(HOST_MARK)
    return path


@pytest.fixture
def build_daemon(caisd: Daemon) -> Iterator[Daemon]:
    """The session's caisd, whose images and build cache are as before at the end."""
    before = _images(caisd)
    yield caisd
    caisd.remove_containers()
    for image in _images(caisd) - before:
        caisd.ask("DELETE", f"/images/{image}?force=1")
    assert caisd.ask("POST", "/build/prune?all=1").status == 200
    assert _images(caisd) == before


def _images(daemon: Daemon) -> set[str]:
    return {image["Id"].text for image in daemon.ask("GET", "/images/json?all=1").json.items}


@pytest.fixture(scope="session")
def busybox_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the busybox tree, for containers that are started without an engine."""
    folder = tmp_path_factory.mktemp("image") / "root"
    make_image(folder)
    return folder


@pytest.fixture
async def lab(busybox_tree: Path) -> AsyncIterator[Lab]:
    """A runtime of the test's own, which must leave nothing."""
    async with new_lab(busybox_tree) as opened:
        yield opened
