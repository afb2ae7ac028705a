"""Which images a list shows."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cais.engine.filters import Filters
from cais.engine.image_filters import history, select, shared_sizes
from cais.engine.image_store import ImageStore
from cais.errors import InvalidArgument, NotFound
from tests.harness.stores import add_image, image_store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ImageStore]:
    """base:1 of January, nameless on it of February, app:1 with two names on that of March, nameless alone of April."""
    async with image_store(tmp_path) as opened:
        base = await add_image(opened, "base:1", created="2026-01-01T00:00:00Z", labels={"kind": "base", "x": ""})
        middle = await add_image(opened, "", created="2026-02-01T00:00:00Z", parent=base.id)
        await add_image(
            opened, "app:1", "registry.example/team/app:2", created="2026-03-01T00:00:00Z", labels={"kind": "app"},
            parent=middle.id,
        )  # fmt: skip
        await add_image(opened, "", created="2026-04-01T00:00:00Z", labels={"x": "y"})
        yield opened


Asked = dict[str, str | list[str]]


def shown(store: ImageStore, filters: Asked | None = None, everything: bool = False) -> list[str]:
    """The first name of each image, or its month where it has none."""
    wanted = Filters({k: [value] if isinstance(value, str) else value for k, value in (filters or {}).items()})
    return [(i.references or (i.created[5:7],))[0] for i in select(store, wanted, everything)]


async def test_the_newest_comes_first_and_the_inside_of_a_build_is_not_shown(store: ImageStore) -> None:
    assert shown(store) == ["04", "app:1", "base:1"]
    assert shown(store, everything=True) == ["04", "app:1", "02", "base:1"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"dangling": "true"}, ["04"]),
        ({"dangling": "0"}, ["app:1", "base:1"]),
        ({"label": "kind"}, ["app:1", "base:1"]),
        ({"label": "kind=app"}, ["app:1"]),
        ({"label": ["kind", "x="]}, ["base:1"]),
        ({"before": "app:1"}, ["base:1"]),
        ({"since": "base:1"}, ["04", "app:1"]),
        ({"since": "base", "before": "app:1"}, NotFound),
        ({"until": "2026-02-15T00:00:00Z"}, ["base:1"]),
        ({"until": "1ns"}, ["04", "app:1", "base:1"]),
        ({"reference": "app"}, ["app:1"]),
        ({"reference": "app:1"}, ["app:1"]),
        ({"reference": "app:2"}, []),
        ({"reference": "*:1"}, ["app:1", "base:1"]),
        ({"reference": "*"}, ["app:1", "base:1"]),
        ({"reference": "*/*/app"}, ["registry.example/team/app:2"]),
        ({"reference": "registry.example/*"}, []),
        ({"reference": ["base", "b?se:[0-9]"]}, ["base:1"]),
        ({"reference": "[^a]*"}, ["base:1"]),
        ({"reference": "\\app"}, ["app:1"]),
        ({"reference": "["}, InvalidArgument),
        ({"reference": "[z-a]"}, InvalidArgument),
        ({"dangling": "maybe"}, InvalidArgument),
        ({"until": "soon"}, InvalidArgument),
        ({"before": "absent"}, NotFound),
        ({"what": "x"}, InvalidArgument),
    ],
)
async def test_filters(store: ImageStore, filters: Asked, expected: list[str] | type[Exception]) -> None:
    if isinstance(expected, list):
        assert shown(store, filters) == expected
    else:
        with pytest.raises(expected):
            shown(store, filters)


async def test_only_the_names_that_match_are_shown(store: ImageStore) -> None:
    (image,) = select(store, Filters({"reference": ["app"]}), False)
    assert image.references == ("app:1",)
    assert store.resolve("app:1").references == ("app:1", "registry.example/team/app:2")


async def test_the_history_begins_with_the_newest_step(store: ImageStore) -> None:
    image = store.resolve("app:1")
    (item,) = history(store, image)
    assert (item.id, item.created_by, item.tags) == (image.id, "app:1", image.references)


async def test_images_without_layers_share_nothing(store: ImageStore) -> None:
    assert set(shared_sizes(store).values()) == {0}
