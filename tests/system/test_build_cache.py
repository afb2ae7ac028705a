"""What a build does not do again, and how what is kept for that is listed and pruned."""

import json
import time
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from tests.harness.archives import Archive
from tests.harness.build import Build, build, config, look
from tests.harness.engine import Daemon
from tests.harness.http import Json


@pytest.fixture
def daemon(private_caisd: Daemon) -> Iterator[Daemon]:
    yield private_caisd


def records(daemon: Daemon) -> list[Json]:
    return daemon.ask("GET", "/system/df?type=build-cache").json["BuildCache"].items


def steps(made: Build) -> list[bool]:
    """Of each step after FROM, whether it was in the cache."""
    parts = made.text.split("Step ")[2:]
    return ["Using cache" in part for part in parts]


def test_steps_are_found_by_what_they_depend_on(daemon: Daemon) -> None:
    text = "FROM busybox\nARG V=1\nRUN echo $V > /v\nCOPY a b /c/\nRUN cat /c/a\nLABEL x=y\nWORKDIR /w"
    files = {"a": "A", "b": "B"}
    first = build(daemon, text, files)
    assert steps(first) == [False] * 6
    again = build(daemon, text, files)
    assert steps(again) == [True] * 6
    assert again.image == first.image
    for what, expected in (
        (build(daemon, text, files, buildargs={"V": "2"}), [False, False, False, False, False, False]),
        (build(daemon, text, {"a": "A", "b": "changed"}), [True, True, False, False, False, False]),
        (build(daemon, text, files | {"unrelated": ""}), [True] * 6),
        (build(daemon, text, files, nocache="1"), [False] * 6),
    ):
        assert steps(what) == expected
        assert what.image != first.image or all(expected)
    assert steps(build(daemon, text, files)) == [True] * 6


def test_modes_and_owners_count_and_times_do_not(daemon: Daemon) -> None:
    def with_file(**look: int | tuple[int, int] | float) -> Build:
        archive = Archive()
        archive.add("d/f", b"data", **look)  # type: ignore[arg-type]
        return build(daemon, "FROM busybox\nCOPY d /d", more=archive)

    assert steps(with_file()) == [False]
    assert steps(with_file(mtime=99.0)) == [True]
    assert steps(with_file(mode=0o755)) == [False]
    assert steps(build(daemon, "FROM busybox\nCOPY --chown=3 d /d", {"d/f": "data"})) == [False]
    assert steps(build(daemon, "FROM busybox\nCOPY --chmod=600 d /d", {"d/f": "data"})) == [False]


def test_a_stage_s_result_counts_not_its_making(daemon: Daemon) -> None:
    text = "FROM busybox AS a\nARG N\nRUN echo $N > /n; echo same > /s\nFROM busybox\nCOPY --from=a /s /s\nRUN cat /s"
    first = build(daemon, text, buildargs={"N": "1"})
    second = build(daemon, text, buildargs={"N": "2"})
    assert second.image == first.image
    assert steps(second)[-2:] == [True, True]


def test_an_image_with_a_matching_history_is_no_cache(daemon: Daemon) -> None:
    """CVE-2024-24557: who loads an image must not decide what a build finds."""
    good = build(daemon, "FROM busybox\nRUN echo good > /x", t="good")
    assert daemon.ask("POST", "/build/prune?all=1").status == 200
    container = daemon.docker_output("create", "busybox", "sh", "-c", "echo bad > /x")
    daemon.docker_output("start", "-a", container)
    forged = daemon.docker_output("commit", container, "forged")
    history = daemon.ask("GET", f"/images/{good.image}/history").json[0]["CreatedBy"].text
    assert history == "RUN /bin/sh -c echo good > /x"
    again = build(daemon, "FROM busybox\nRUN echo good > /x", cachefrom=json.dumps([forged]))
    assert again.cached == 0
    assert look(daemon, again.image, "cat /x") == "good"


def test_the_cache_outlives_its_images_and_the_engine(daemon: Daemon) -> None:
    text = "FROM busybox\nRUN echo kept > /k\nENV A=b"
    first = build(daemon, text, t="kept")
    daemon.docker_output("rmi", "kept")
    daemon.restart()
    again = build(daemon, text)
    assert steps(again) == [True, True]
    assert again.image == first.image
    assert look(daemon, again.image, "cat /k") == "kept"


def test_a_failed_build_keeps_what_succeeded(daemon: Daemon) -> None:
    text = "FROM busybox\nRUN echo fine > /f\nRUN exit {}"
    assert build(daemon, text.format(1)).error
    assert steps(build(daemon, text.format(0))) == [True, False]


def test_listing_and_pruning(daemon: Daemon) -> None:
    for number in range(3):
        build(daemon, f"FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M count=1 2>/dev/null; echo {number} >> /big")
        time.sleep(0.01)
    build(daemon, "FROM busybox\nRUN --mount=type=cache,target=/c dd if=/dev/zero of=/c/x bs=1M count=2 2>/dev/null")
    found = records(daemon)
    assert sorted(record["Type"].text for record in found) == ["exec.cachemount", *["regular"] * 4]
    assert {record["Size"].number for record in found} >= {(1 << 20) + 2, 2 << 20}
    assert all(record["CreatedAt"].text.startswith("20") and not record["InUse"].flag for record in found)
    for image in daemon.ask("GET", "/images/json").json.items:
        if not image["RepoTags"].value:
            daemon.ask("DELETE", f"/images/{image['Id'].text}?force=1")
    oldest = min((record for record in found if record["Type"].text == "regular"), key=lambda r: r["LastUsedAt"].text)
    pruned = daemon.ask("POST", f"/build/prune?keep-storage={(4 << 20) + 100}").json
    assert [item.text for item in pruned["CachesDeleted"].items] == [oldest["ID"].text]
    assert pruned["SpaceReclaimed"].number == oldest["Size"].number
    kinds = json.dumps({"type": ["exec.cachemount"]})
    assert (
        len(
            daemon.ask("POST", f"/build/prune?filters={kinds}".replace('"', "%22").replace(" ", "")).json[
                "CachesDeleted"
            ]
        )
        == 1
    )
    assert len(records(daemon)) == 3
    recent = '{"until":["1h"]}'.replace('"', "%22")
    assert daemon.ask("POST", f"/build/prune?all=1&filters={recent}").json["CachesDeleted"].value is None
    assert len(daemon.ask("POST", "/build/prune?all=1").json["CachesDeleted"]) == 3
    assert records(daemon) == []
    assert daemon.ask("GET", "/system/df").json["LayersSize"].number < 4 << 20


def test_a_prune_takes_what_its_filters_and_sizes_say(daemon: Daemon) -> None:
    def pruned(filters: dict[str, list[str]] | None = None, **sizes: object) -> list[str]:
        query = urlencode({"filters": json.dumps(filters or {}), **sizes})
        answer = daemon.ask("POST", f"/build/prune?{query}")
        assert answer.status == 200, answer.body
        if answer.json["CachesDeleted"].value is None:
            return []
        told = {record["ID"].text: record["Description"].text for record in before}
        return sorted(told[item.text] for item in answer.json["CachesDeleted"].items)

    build(daemon, "FROM busybox\nRUN echo tagged > /f", t="tagged")
    build(daemon, "FROM busybox\nRUN --mount=type=cache,target=/c echo mount > /c/x; echo loose > /f")
    for image in daemon.ask("GET", "/images/json").json.items:
        if not image["RepoTags"].value:
            daemon.ask("DELETE", f"/images/{image['Id'].text}?force=1")
    before = records(daemon)
    shared = next(record for record in before if record["Shared"].flag)
    assert pruned({"id": ["nothing"]}) == pruned({"unused-for": ["1h"]}) == pruned({"inuse": []}) == []
    assert pruned(None, **{"min-free-space": 1}) == pruned(None, **{"max-used-space": 1 << 30}) == []
    assert pruned({"description~": ["cached m"], "mutable": []}) == ["cached mount /c"]
    (loose,) = pruned({"private": []})
    assert "echo loose" in loose
    assert pruned() == []
    (tagged,) = pruned({"id": [shared["ID"].text[:20]], "shared": ["true"]}, all=1)
    assert "echo tagged" in tagged
    for filters in ({"no": ["1"]}, {"id": ["a", "b"]}, {"until": ["1h"], "unused-for": ["1h"]}, {"shared": ["x"]}):
        assert daemon.ask("POST", f"/build/prune?{urlencode({'filters': json.dumps(filters)})}").status == 400
    assert daemon.ask("POST", "/build/prune?min-free-space=-1").status == 400


def test_what_is_told_to_those_who_watch(daemon: Daemon) -> None:
    since = time.time()
    made = build(daemon, "FROM busybox\nLABEL a=b", t=["one", "two"])
    daemon.ask("POST", "/build/prune?all=1")
    answer = daemon.ask("GET", f"/events?since={since:.6f}&until={time.time():.6f}")
    told = [Json(json.loads(line)) for line in answer.body.splitlines()]
    assert [(event["Type"].text, event["Action"].text) for event in told] == [
        ("image", "tag"), ("image", "tag"), ("image", "build"), ("builder", "prune")
    ]  # fmt: skip
    attributes = told[2]["Actor"]
    assert attributes["ID"].text == made.image
    assert attributes["Attributes"].value == {"name": made.image, "a": "b"}


def test_a_build_is_the_same_with_source_date_epoch(daemon: Daemon) -> None:
    text = (
        "FROM scratch AS s\nCOPY a /a\n"
        "FROM busybox\nARG SOURCE_DATE_EPOCH\n"
        "RUN mkdir /d; echo x > /d/x; ln -s x /d/l\nCOPY --from=s /a /a\nWORKDIR /w\n"
    )
    first = build(daemon, text, {"a": "A"}, buildargs={"SOURCE_DATE_EPOCH": "1000000000"})
    time.sleep(1.1)
    other = build(daemon, text, {"a": "A"}, buildargs={"SOURCE_DATE_EPOCH": "1000000000"}, nocache="1")
    assert other.cached == 0
    assert other.image == first.image
    assert daemon.ask("GET", f"/images/{first.image}/json").json["Created"].text == "2001-09-09T01:46:40Z"
    assert look(daemon, first.image, "stat -c %Y /d /d/x /w") == "\n".join(["1000000000"] * 3)
    assert config(daemon, first.image)["WorkingDir"].text == "/w"


def test_the_same_step_in_two_stages_is_done_once(daemon: Daemon) -> None:
    made = build(
        daemon,
        "FROM busybox AS a\nRUN sleep 0.5; head -c 16 /dev/urandom > /r\n"
        "FROM busybox AS b\nRUN sleep 0.5; head -c 16 /dev/urandom > /r\n"
        "FROM busybox\nCOPY --from=a /r /a\nCOPY --from=b /r /b\nRUN cmp /a /b",
    )
    assert not made.error


def test_stages_run_side_by_side(daemon: Daemon) -> None:
    began = time.monotonic()
    made = build(
        daemon,
        "FROM busybox AS a\nRUN sleep 1.5; echo a > /f\nFROM busybox AS b\nRUN sleep 1.5; echo b > /f\n"
        "FROM busybox\nCOPY --from=a /f /a\nCOPY --from=b /f /b\n",
    )
    assert time.monotonic() - began < 2.6
    assert look(daemon, made.image, "cat /a /b") == "a\nb"
    order = [int(part.split("/")[0]) for part in made.text.split("Step ")[1:]]
    assert order == sorted(order)
