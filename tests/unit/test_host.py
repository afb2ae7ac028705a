import pytest

from cais.engine.host import bounding_capabilities, check_kernel, check_overlay
from cais.errors import Unsupported


@pytest.mark.parametrize("release", ["5.15", "5.15.0-1", "6.1.0-13-amd64", "10.0", "6.18.44-fc"])
def test_kernels_that_will_do(release: str) -> None:
    check_kernel(release)


@pytest.mark.parametrize("release", ["5.14.21", "4.19.0-6-amd64", "3.10", "", "x"])
def test_kernels_that_will_not(release: str) -> None:
    with pytest.raises(Unsupported, match=r"Cais needs Linux 5\.15 or newer"):
        check_kernel(release)


def test_overlay_must_be_there() -> None:
    check_overlay("nodev\tproc\nnodev\toverlay\n\text4\n")


def test_capabilities_of_a_process() -> None:
    assert bounding_capabilities("Name:\tx\nCapBnd:\t0000000000000021\n") == {"CAP_CHOWN", "CAP_KILL"}
    assert bounding_capabilities("") == frozenset()
