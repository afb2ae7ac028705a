"""Fixtures of all suites: engines under test, and the check that a suite leaves the machine as it was."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import host
from tests.harness.engine import Daemon, Engine

# Another engine, e.g. a real Docker (unix://…): the client tests then run against it, to check the tests themselves.
REFERENCE = os.environ.get("CAIS_TEST_REFERENCE")


@pytest.fixture(scope="session", autouse=True)
def own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Nothing of the tests is kept in the user's own cache folder."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def clean_host() -> Iterator[None]:
    """Fails when the session leaves a mount, namespace, link, rule, cgroup or process behind. Root only."""
    if os.geteuid() != 0:
        pytest.exit("the system and client tests need root", returncode=1)
    before = host.look()
    yield
    left = host.wait_until_as_before(before, seconds=5)
    assert not left, "left on this machine:\n" + "\n".join(left)


@pytest.fixture(scope="session")
def session_caisd(clean_host: None) -> Iterator[Daemon]:
    """One caisd with the image busybox, shared by the whole session."""
    daemon = Daemon()
    try:
        daemon.start()
        daemon.import_busybox()
    except AssertionError as error:
        daemon.destroy_folders()
        pytest.exit(f"caisd does not work: {error}", returncode=1)
    try:
        yield daemon
    finally:
        daemon.destroy()


@pytest.fixture
def caisd(session_caisd: Daemon) -> Iterator[Daemon]:
    """The session's caisd, for tests that leave it running. Their containers are removed after each."""
    yield session_caisd
    session_caisd.remove_containers()
    session_caisd.remove_networks()


@pytest.fixture
def private_caisd(clean_host: None) -> Iterator[Daemon]:
    """A caisd with the image busybox for one test, which may kill it."""
    daemon = Daemon()
    daemon.start()
    try:
        daemon.import_busybox()
        yield daemon
    finally:
        daemon.destroy()


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """What the client tests run against: the session's caisd, or the engine named by CAIS_TEST_REFERENCE."""
    if REFERENCE is None:
        caisd = request.getfixturevalue("caisd")
        assert isinstance(caisd, Daemon)
        yield caisd
        return
    folder = Path(tempfile.mkdtemp(prefix=host.SESSION_ROOT_PREFIX))
    socket = REFERENCE.removeprefix("unix://")
    reference = Engine(socket, folder, frozenset(Engine(socket, folder).containers()))
    try:
        if reference.ask("GET", "/images/busybox:latest/json").status != 200:
            reference.import_busybox()
        yield reference
        reference.remove_containers()
        reference.remove_networks()
    finally:
        shutil.rmtree(folder)
