"""The client tests: the real clients that users have, against a real daemon, under the check for leavings."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.compose import Project
from tests.harness.engine import Engine


@pytest.fixture(scope="session", autouse=True)
def host_is_left_clean(clean_host: None) -> None:
    """Applies the check to every test of this folder, whether it starts a daemon or not."""


@pytest.fixture
def project(engine: Engine, tmp_path: Path) -> Iterator[Project]:
    """A project of Compose, of which nothing is left behind the test."""
    made = Project(engine, tmp_path)
    yield made
    made.run("--profile", "*", "down", "-v", "-t", "0", "--remove-orphans")
