"""Every endpoint of Docker's API is served, or says that it is not."""

import re
from pathlib import Path

import pytest
import yaml

from cais.api import notyet

DESCRIPTION = Path(__file__).resolve().parents[3] / "shared/reference/docker-engine-api-v1.51.yaml"


def test_no_endpoint_stands_twice() -> None:
    named = [(method, path) for method, path, _ in (*notyet.ENDPOINTS, *notyet.SWARM)]
    assert len(set(named)) == len(named)


def test_each_has_a_route() -> None:
    assert len(notyet.routes()) == len(notyet.ENDPOINTS) + len(notyet.SWARM)


def test_only_endpoints_of_the_api_are_named() -> None:
    if not DESCRIPTION.exists():
        pytest.skip(f"the API's description is not beside this tree ({DESCRIPTION.name})")
    described = set(yaml.load(DESCRIPTION.read_text("utf-8"), Loader=yaml.CSafeLoader)["paths"])
    for _, path, _ in (*notyet.ENDPOINTS, *notyet.SWARM):
        plain = re.sub(r":[^}]*", "", path)
        assert (
            plain in described
            or plain == "/grpc"
            or any(item.startswith(plain.partition("{")[0]) for item in described)
        )
