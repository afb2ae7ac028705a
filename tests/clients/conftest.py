"""The client tests: the real clients that users have, against a real daemon, under the check for leavings."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def host_is_left_clean(clean_host: None) -> None:
    """Applies the check to every test of this folder, whether it starts a daemon or not."""
