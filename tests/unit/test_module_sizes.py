"""A module has one subject and fits in the head."""

from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent.parent
MODULES = sorted(path for folder in ("src", "tests", "bench") for path in (PROJECT / folder).rglob("*.py"))
MOST_LINES = 800


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_a_module_has_at_most_800_lines(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MOST_LINES
