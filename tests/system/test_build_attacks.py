"""Contexts, Dockerfiles and stages that try to reach what is not theirs. SECURITY: the rows about builds."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.archives import Archive
from tests.harness.build import Build, build, build_archive, context, look
from tests.harness.engine import Daemon
from tests.harness.inside import HOST_MARK


@pytest.fixture
def daemon(build_daemon: Daemon, marker: Path) -> Iterator[Daemon]:
    """The host has a marker file, which is the same at the end."""
    yield build_daemon
    assert marker.read_text() == HOST_MARK


def test_a_dockerfile_that_is_a_link_out_of_the_context(daemon: Daemon, marker: Path) -> None:
    for target in (str(marker), f"../../../../../..{marker}", "/proc/self/environ"):
        archive = Archive().symlink("Link", target).data
        made = build_archive(daemon, archive, dockerfile="Link")
        assert made.error == "Cannot locate specified Dockerfile: Link"
        assert HOST_MARK not in repr(made.lines)
    for name in (str(marker), "../" * 12 + str(marker).lstrip("/")):
        made = build_archive(daemon, context("FROM busybox"), dockerfile=name)
        assert made.error.startswith("Cannot locate specified Dockerfile")
    ignore = Archive().symlink(".dockerignore", str(marker))
    assert not build(daemon, "FROM busybox\nRUN true", more=ignore).error


def test_an_archive_that_leads_out_of_the_context(daemon: Daemon, marker: Path) -> None:
    name = str(marker)
    for archive in (
        Archive().add(f"../../../../../../..{name}", b"overwritten"),
        Archive().symlink("l", "/").add(f"l{name}", b"overwritten"),
        Archive().symlink("l", str(marker.parent)).add(f"l/{marker.name}", b"overwritten"),
        Archive().hardlink("h", name).add("h", b"overwritten"),
        Archive().symlink("l", name).hardlink("h", "l").add("h", b"overwritten"),
        Archive().add("big", b"", pax={"size": "-5"}),
    ):
        made = build(daemon, "FROM busybox\nCOPY . /c", more=archive)
        if not made.error:
            assert HOST_MARK not in look(daemon, made.image, "find /c -type f -exec cat {} +")
        assert marker.read_text() == HOST_MARK


def test_links_of_a_context_and_of_a_stage_are_followed_inside_it(daemon: Daemon, marker: Path) -> None:
    up = "../" * 12

    def linked(text: str) -> Build:
        archive = Archive().symlink("file", str(marker)).symlink("root", "/").symlink("up", up)
        archive.folder("d").symlink("d/f", up + str(marker)).symlink("d/etc", "/etc")
        return build(daemon, text, more=archive)

    for source in ("file", "d/f", f"root{marker}", f"up{marker}", f"{up}{marker}", str(marker)):
        made = linked(f"FROM busybox\nCOPY {source} /x")
        assert "file not found in build context" in made.error, source
    made = linked("FROM busybox\nCOPY d root/ /x/")
    assert look(daemon, made.image, "readlink /x/f").endswith(str(marker))
    staged = build(
        daemon,
        f"FROM busybox AS s\nRUN ln -s {marker} /file && ln -s / /slash\nFROM busybox\nCOPY --from=s /slash{marker} /x",
    )
    assert staged.error == f"COPY failed: stat slash{marker}: file does not exist"
    mounted = build(
        daemon,
        f"FROM busybox AS s\nRUN ln -s {marker.parent} /dir\nFROM busybox\n"
        f"RUN --mount=from=s,source=/dir,target=/x cat /x/{marker.name}",
    )
    assert "not found" in mounted.error or "no such" in mounted.error


def test_a_destination_that_leads_out_of_the_stage(daemon: Daemon, marker: Path) -> None:
    folder, name = marker.parent, marker.name
    for prepare, copy in (
        (f"ln -s {folder} /out", f"COPY f /out/{name}"),
        ("ln -s / /out", f"COPY f /out{marker}"),
        ("ln -s ../../../../../../../.. /out", f"COPY f /out{marker}"),
        (f"ln -s {marker} /out", "COPY f /out"),
        (f"mkdir /d && ln -s {folder} /d/sub", "COPY d /d"),
        (f"ln -s {folder} /out", "ADD a.tar /out/"),
        (f"ln -s {folder} /w", f"WORKDIR /w/made\nCOPY f ../{name}"),
    ):
        inner = Archive().add(name, b"overwritten").data
        made = build(
            daemon,
            f"FROM busybox\nRUN {prepare}\n{copy}\n",
            {"f": "overwritten", "d/": "", "d/sub/": "", f"d/sub/{name}": "overwritten", "a.tar": inner},
        )
        assert marker.read_text() == HOST_MARK, copy
        assert not (folder / "made").exists()
        if not made.error:
            assert look(daemon, made.image, "true") == ""


def test_an_added_archive_that_leads_out_of_its_folder(daemon: Daemon, marker: Path) -> None:
    for inner in (
        Archive().add(f"../../../../../../../../..{marker}", b"overwritten"),
        Archive().symlink("l", "/").add(f"l{marker}", b"overwritten"),
        Archive().symlink("l", "/etc").add("l/passwd", b"overwritten"),
        Archive().hardlink("h", str(marker)),
        Archive().add("dev", kind="character", device=(0, 0)),
    ):
        made = build(daemon, "FROM busybox\nADD a.tar /deep/er/", {"a.tar": inner.data})
        assert marker.read_text() == HOST_MARK
        if not made.error:
            assert "overwritten" not in look(daemon, made.image, "cat /etc/passwd")
            assert HOST_MARK not in look(daemon, made.image, "find /deep -type f -exec cat {} +")


def test_whiteouts_in_what_is_copied_hide_nothing(daemon: Daemon) -> None:
    made = build(
        daemon,
        "FROM busybox\nADD a.tar /etc/\nCOPY . /etc/",
        {".wh.passwd": "", "a.tar": Archive().add(".wh.group").add(".wh..wh..opq").data},
    )
    assert look(daemon, made.image, "ls /etc/passwd /etc/group") == "/etc/group\n/etc/passwd"


def test_the_source_of_a_mount_cannot_be_swapped(daemon: Daemon, marker: Path) -> None:
    """CVE-2024-23651: two commands share a cache, one changes what the other is about to mount."""
    swap = (
        "while true; do mkdir -p /c/sub; rm -rf /c/sub; ln -sfn / /c/sub; rm -f /c/sub; [ -e /c/stop ] && exit 0; done"
    )
    text = (
        "FROM busybox AS a\nRUN --mount=type=cache,target=/c,id=race " + swap + "\n"
        "FROM busybox AS b\n"
        + "".join(
            f"RUN --mount=type=cache,target=/c,id=race,source=sub ls -a /c > /l{number}; cat /c{marker} >> /got; true\n"
            for number in range(20)
        )
        + "RUN --mount=type=cache,target=/c,id=race touch /c/stop\n"
        "FROM busybox\nCOPY --from=a /etc/passwd /a\nCOPY --from=b / /b/\n"
    )
    made = build(daemon, text, nocache="1")
    assert not made.error, made.error
    assert HOST_MARK not in look(daemon, made.image, "cat /b/got")


def test_mounts_lead_nowhere_else(daemon: Daemon, marker: Path) -> None:
    for options in (
        "source=l",
        f"source={marker.parent}",
        "source=../../../../../../..",
        "from=busybox,source=/../../..",
    ):
        text = f"FROM busybox\nRUN --mount={options},target=/m cat /m/{marker.name} /m{marker} 2>/dev/null; true\n"
        made = build(daemon, text, more=Archive().symlink("l", str(marker.parent)).folder("d"))
        assert HOST_MARK not in made.text, options
    text = f"FROM busybox\nRUN ln -s {marker.parent} /x\nRUN --mount=target=/x/made touch /x/done; true\n"
    build(daemon, text, {"d": ""})
    assert not (marker.parent / "made").exists()
    assert not (marker.parent / "done").exists()
    for target in ("/", "/proc/self", ".."):
        assert build(daemon, f"FROM busybox\nRUN --mount=target={target} true").error, target


def test_the_parent_folders_of_mounts_are_not_removed_outside(daemon: Daemon, marker: Path) -> None:
    """CVE-2024-23652: what was made for a mount is taken away afterwards, and nothing else."""
    victim = marker.parent / "victim" / "empty"
    victim.mkdir(parents=True)
    made = build(
        daemon,
        f"FROM busybox\nRUN --mount=type=tmpfs,target=/new/empty "
        f"cp -r /new /moved 2>/dev/null; umount /new/empty 2>/dev/null; rm -rf /new; ln -s {victim.parent} /new; true",
    )
    assert victim.is_dir()
    victim.rmdir()
    victim.parent.rmdir()
    assert not made.error or "RUN" in made.text


def test_a_command_is_confined_as_a_container_is(daemon: Daemon, marker: Path) -> None:
    made = build(
        daemon,
        "FROM busybox\nRUN grep -E 'Cap|NoNew|Seccomp:' /proc/self/status > /status;"
        "ls -l /proc/self/fd | wc -l > /fds;"
        "! mount -t tmpfs x /mnt 2>/dev/null; ! echo x > /proc/sysrq-trigger; ! cat /proc/kcore 2>/dev/null | head -c1;"
        f"! ls {marker}; mknod /disk b 8 0; ! head -c1 /disk; ps | wc -l > /ps;"
        "setfattr -n trusted.overlay.opaque -v y / ; true",
    )
    assert not made.error, made.error
    said = look(daemon, made.image, "cat /status /fds /ps")
    assert "CapInh:\t0000000000000000" in said
    assert "CapAmb:\t0000000000000000" in said
    assert "CapBnd:\t00000000a80425fb" in said
    assert "Seccomp:\t2" in said


def test_working_folders_through_descriptors(daemon: Daemon) -> None:
    """CVE-2024-21626."""
    for number in (3, 5, 7, 8, 9, 12):
        made = build(daemon, f"FROM busybox\nWORKDIR /proc/self/fd/{number}\nRUN cat ../../../../../etc/shadow; pwd")
        assert "root:" not in made.text
        for line in ("RUN cd /proc/self/fd/{} && cat ../../../etc/hostname",):
            assert "non-zero" in build(daemon, "FROM busybox\n" + line.format(number)).error


def test_secrets_are_neither_in_the_image_nor_in_the_cache(daemon: Daemon) -> None:
    made = build(daemon, "FROM busybox\nRUN --mount=type=secret,id=s cat /run/secrets/s 2>/dev/null; ls -a /run; true")
    assert not made.error
    assert look(daemon, made.image, "ls -d /run/secrets 2>&1 | grep -c such") == "1"


def test_deep_and_wide_contexts(daemon: Daemon) -> None:
    deep = "/".join(["d"] * 1500)
    archive = Archive().add(f"{deep}/f", b"deep")
    made = build(daemon, "FROM busybox\nCOPY . /c\nRUN find /c | wc -l > /n", more=archive)
    assert not made.error, made.error
    assert look(daemon, made.image, "cat /n") == "1503"
    bomb = build(daemon, "FROM busybox\n" + "RUN true\n" * 5, {"x": b"\0" * (1 << 20)})
    assert not bomb.error


def test_the_engine_answers_while_a_build_writes_without_end(daemon: Daemon) -> None:
    stop = threading.Event()
    slowest = 0.0

    def ping() -> None:
        nonlocal slowest
        while not stop.is_set():
            began = time.monotonic()
            assert daemon.ask("GET", "/_ping").status == 200
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.02)

    thread = threading.Thread(target=ping)
    thread.start()
    try:
        made = build(daemon, "FROM busybox\nRUN yes | head -c 20000000", {"f": os.urandom(10)}, nocache="1")
    finally:
        stop.set()
        thread.join()
    assert not made.error
    assert 2 << 20 < len(made.text) < 2.2 * (1 << 20)
    assert "[output clipped, log limit 2MiB reached]" in made.text
    assert slowest < 1.5
