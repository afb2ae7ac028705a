"""What of the build cache a prune takes."""

from dataclasses import replace

import pytest

from cais.build.cacheentries import CACHE_MOUNT, Entry
from cais.build.cachefilters import PruneOptions, RecordFilter, record_filter
from cais.errors import InvalidArgument

STEP = Entry(
    id="abc123", parent="base", kind="regular", description="RUN make all", size_bytes=10, created_ns=1,
    last_used_ns=1, uses=1, in_use=False, shared=False,
)  # fmt: skip
ENTRIES = [
    STEP,
    replace(STEP, id="def456", last_used_ns=2, shared=True),
    replace(STEP, id="mount", parent="", kind=CACHE_MOUNT, description="cached mount /c", last_used_ns=3),
    replace(STEP, id="used", description="RUN b", last_used_ns=4, in_use=True),
    replace(STEP, id="newest", description="COPY . /", last_used_ns=5),
]


def taken(options: PruneOptions, free_bytes: int = 1000) -> list[str]:
    return [entry.id for entry in options.chosen(ENTRIES, free_bytes)]


def test_what_images_share_is_spared_unless_everything_goes() -> None:
    assert taken(PruneOptions()) == ["abc123", "mount", "newest"]
    assert taken(PruneOptions(everything=True)) == ["abc123", "def456", "mount", "newest"]


@pytest.mark.parametrize(
    ("field", "value", "ids"),
    [
        ("id", "abc", ["abc123"]),
        ("id", "^(abc|def)", ["abc123", "def456"]),
        ("id", "[", []),
        ("id!", "abc123", ["def456", "mount", "newest"]),
        ("type", CACHE_MOUNT, ["mount"]),
        ("type!", "regular", ["mount"]),
        ("type~", "cache", ["mount"]),
        ("description", "RUN make all", ["abc123", "def456"]),
        ("description", "make", []),
        ("description~", "^COPY", ["newest"]),
        ("parent", "base", ["abc123", "def456", "newest"]),
        ("parents!", "base", ["mount"]),
        ("shared", "", ["def456"]),
        ("shared", "true", ["def456"]),
        ("shared", "0", ["abc123", "mount", "newest"]),
        ("private", "", ["abc123", "mount", "newest"]),
        ("inuse", "", []),
        ("inuse", "false", ["abc123", "def456", "mount", "newest"]),
        ("mutable", "", ["mount"]),
        ("immutable", "", ["abc123", "def456", "newest"]),
    ],
)
def test_records_are_chosen_by_their_fields(field: str, value: str, ids: list[str]) -> None:
    assert taken(PruneOptions(everything=True, filters=(record_filter(field, [value]),))) == ids


def test_all_filters_have_to_fit() -> None:
    both = (RecordFilter("parent", "base"), RecordFilter("description~", "COPY"))
    assert taken(PruneOptions(filters=both)) == ["newest"]
    assert taken(PruneOptions(filters=both, unused_since_ns=5)) == []
    assert taken(PruneOptions(unused_since_ns=5)) == ["abc123", "mount"]


@pytest.mark.parametrize(("field", "values"), [("id", ["a", "b"]), ("shared", ["perhaps"])])
def test_a_filter_has_one_value_that_fits(field: str, values: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        record_filter(field, values)


@pytest.mark.parametrize(
    ("options", "free", "ids"),
    [
        (PruneOptions(max_used_bytes=30), 0, ["abc123"]),
        (PruneOptions(max_used_bytes=40), 0, []),
        (PruneOptions(reserved_bytes=25), 0, ["abc123", "mount"]),
        (PruneOptions(reserved_bytes=35, max_used_bytes=15), 0, ["abc123"]),
        (PruneOptions(min_free_bytes=100), 85, ["abc123", "mount"]),
        (PruneOptions(min_free_bytes=100), 100, []),
        (PruneOptions(min_free_bytes=100), 0, ["abc123", "mount", "newest"]),
        (PruneOptions(min_free_bytes=100, reserved_bytes=30), 0, ["abc123"]),
        (PruneOptions(min_free_bytes=100, max_used_bytes=30), 95, ["abc123"]),
    ],
)
def test_sizes_say_how_much_stays(options: PruneOptions, free: int, ids: list[str]) -> None:
    assert taken(options, free) == ids
