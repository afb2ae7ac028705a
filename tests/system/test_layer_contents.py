"""What each layer of an image adds, changes and removes: found by the engine, drawn by the command."""

import asyncio
import json
import os
import stat
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cais.engine import layer_contents
from cais.engine.images import Images
from cais.engine.layer_contents import BigPath, layer_content
from cais.engine.work import Stopped
from cais.storage.overlay import OPAQUE
from tests.harness.archives import Archive
from tests.harness.engine import Daemon
from tests.harness.stores import opened_images
from tests.system.test_images import body, saved

BASE = Archive().folder("etc").add("etc/name", b"one").add("etc/gone", b"x").folder("data")
BASE_LAYER = BASE.add("data/a", b"a").add("data/b", b"b").add("program", b"x" * 5000, mode=0o755).data
UPPER = Archive().add("etc/.wh.gone").add("etc/name", b"other").add("new", b"y" * 7000)
UPPER_LAYER = UPPER.folder("data").add("data/.wh..wh..opq").add("data/b", b"bb").data
OTHER_LAYER = Archive().add("other", b"z").data


@pytest.fixture
async def images(tmp_path: Path) -> AsyncIterator[Images]:
    async with opened_images(tmp_path) as opened:
        yield opened


@pytest.fixture
def layers(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """The folders of two layers, the upper one first; the test fills them."""
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    upper.mkdir()
    lower.mkdir()
    yield upper, lower


def content(*folders: Path) -> layer_contents.LayerContent:
    return layer_content([str(folder) for folder in folders], threading.Event())


async def test_every_step_of_an_image_is_looked_into(images: Images) -> None:
    (image,) = await images.load(body(saved(BASE_LAYER, UPPER_LAYER, tags=["x:1"])))
    lower, upper = await images.layer_reports.steps(image)
    assert lower.content is not None and upper.content is not None
    assert (lower.created_by, upper.created_by) == ("step 0", "step 1")
    assert (lower.content.added, lower.content.changed, lower.content.removed) == (7, 0, 0)
    assert lower.content.largest[0] == BigPath(5000, "/program", is_new=True)
    assert (upper.content.added, upper.content.changed, upper.content.removed) == (1, 2, 2)
    assert upper.content.largest[:2] == (
        BigPath(7000, "/new", is_new=True),
        BigPath(5, "/etc/name", is_new=False),
    )
    assert sorted(upper.content.gone) == ["/data/a", "/etc/gone"]
    assert upper.content.complete


async def test_images_that_share_a_layer_are_named(images: Images) -> None:
    (image,) = await images.load(body(saved(BASE_LAYER, UPPER_LAYER, tags=["x:1"])))
    await images.load(body(saved(BASE_LAYER, OTHER_LAYER, tags=["y:1", "y:2"])))
    lower, upper = await images.layer_reports.steps(image)
    assert (lower.shared_with, upper.shared_with) == (("y:1",), ())


async def test_a_layer_is_walked_once(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    (image,) = await images.load(body(saved(BASE_LAYER, UPPER_LAYER, tags=["x:1"])))
    first, second = await asyncio.gather(*(images.layer_reports.steps(image) for _ in range(2)))
    monkeypatch.setattr(layer_contents, "layer_content", lambda *_: pytest.fail("walked again"))
    assert first == second == await images.layer_reports.steps(image)


async def test_layers_stay_while_they_are_looked_into_and_go_afterwards(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (image,) = await images.load(body(saved(BASE_LAYER, tags=["x:1"])))
    inside, go_on = threading.Event(), threading.Event()
    original = layer_content

    def held_up(folders: list[str], stopped: threading.Event) -> layer_contents.LayerContent:
        inside.set()
        go_on.wait(10)
        return original(folders, stopped)

    monkeypatch.setattr(layer_contents, "layer_content", held_up)
    looking = asyncio.create_task(images.layer_reports.steps(image))
    await asyncio.to_thread(inside.wait, 10)
    await images.remove("x:1")
    assert len(list((tmp_path / "layers").iterdir())) == 1
    go_on.set()
    (step,) = await looking
    assert step.content is not None
    assert step.content.added == 7
    assert list((tmp_path / "layers").iterdir()) == []


def test_a_replaced_folder_and_a_whiteout_of_nothing(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    (lower / "folder").mkdir()
    (lower / "file").write_text("")
    (upper / "folder").write_text("a file now")
    (upper / "file").mkdir()
    os.mknod(upper / "never", stat.S_IFCHR, 0)
    found = content(upper, lower)
    assert (found.added, found.changed, found.removed) == (0, 2, 0)


def test_a_folder_that_is_opaque_on_nothing_removes_nothing(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    (upper / "new").mkdir()
    os.setxattr(upper / "new", OPAQUE, b"y")
    assert content(upper, lower).removed == 0


def test_links_are_not_followed(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    (lower / "etc").symlink_to("/etc")
    (upper / "etc").mkdir()
    (upper / "etc" / "passwd").write_text("mine")
    (upper / "host").symlink_to("/etc")
    found = content(upper, lower)
    assert (found.added, found.changed) == (2, 1)
    assert [big.path for big in found.largest] == ["/etc/passwd"]


def test_a_layer_with_too_many_files_is_counted_in_part(
    layers: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    upper, lower = layers
    for number in range(30):
        (upper / f"f{number}").write_bytes(b"x" * number)
    monkeypatch.setattr(layer_contents, "MOST_ENTRIES", 20)
    found = content(upper, lower)
    assert (found.added, found.complete) == (20, False)
    monkeypatch.setattr(layer_contents, "MOST_ENTRIES", 30)
    found = content(upper, lower)
    assert (found.added, found.complete) == (30, True)
    assert [big.size_bytes for big in found.largest] == list(range(29, 19, -1))


def test_names_that_are_not_text_are_told(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    Path(os.fsdecode(os.fsencode(upper) + b"/\xff")).write_text("x")
    assert [big.path for big in content(upper, lower).largest] == ["/\ufffd"]


def test_a_walk_can_be_stopped(layers: tuple[Path, Path]) -> None:
    (layers[0] / "x").write_text("")
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(Stopped):
        layer_content([str(folder) for folder in layers], stopped)


def test_folders_nested_without_end_are_no_end_of_it(layers: tuple[Path, Path]) -> None:
    upper, lower = layers
    folder = os.open(upper, os.O_RDONLY)
    for _ in range(50):
        os.mkdir("d" * 200, dir_fd=folder)
        deeper = os.open("d" * 200, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = deeper
    os.close(folder)
    found = content(upper, lower)
    assert 10 < found.added < 50
    assert not found.complete


# -- the endpoint and the command


@pytest.fixture
def cais(caisd: Daemon) -> Iterator[Daemon]:
    """The session's caisd, whose `docker…` methods run our own command."""
    caisd.client = "cais"
    yield caisd
    caisd.client = "docker"


@pytest.fixture
def two_layers(cais: Daemon) -> Iterator[str]:
    """The name of an image with two layers."""
    answer = cais.ask("POST", "/images/load", saved(BASE_LAYER, UPPER_LAYER, tags=["layered:1"]))
    assert answer.status == 200, answer.body
    yield "layered:1"
    cais.docker("rmi", "-f", "layered:1")


def test_the_endpoint_tells_of_an_image(cais: Daemon, two_layers: str) -> None:
    for prefix in ("", "/v1.51"):
        said = json.loads(cais.ask("GET", f"{prefix}/cais/images/{two_layers}/layers").body)
        assert said["RepoTags"] == [two_layers]
        assert [step["Added"] for step in said["Steps"]] == [7, 1]
        assert said["Steps"][0]["Complete"] is True
    answer = cais.ask("GET", "/cais/images/nothing/layers")
    assert (answer.status, answer.json["message"].text) == (404, "No such image: nothing:latest")


def test_the_command_draws_them(cais: Daemon, two_layers: str) -> None:
    shown = cais.docker_output("image", "layers", two_layers).splitlines()
    assert shown[0].startswith("layered:1  ")
    assert shown[0].endswith("  2 layers, 12kB")
    assert shown[1] == "  2 ●  step 1"
    assert shown[2] == "    │    7.01kB  ████████████████████  +1 added  ~2 changed  -2 removed"
    assert "    │  -           /etc/gone" in shown
    assert "    │  +      5kB  /program" in shown
    assert cais.docker("image", "layers", "nothing").stderr == (
        "Error response from daemon: No such image: nothing:latest\n"
    )


def test_a_terminal_gets_colours(cais: Daemon, two_layers: str) -> None:
    environment = {name: value for name, value in cais.environment().items() if name != "NO_COLOR"}
    cais.environment = lambda: environment  # type: ignore[method-assign]
    try:
        with cais.docker_terminal("image", "layers", two_layers, columns=60) as terminal:
            assert terminal.wait() == 0
            assert "\x1b[32m+1\x1b[0m added" in terminal.seen
    finally:
        del cais.environment
