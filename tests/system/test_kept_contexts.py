"""Contexts that are kept between builds: their files, their end, and what a crash leaves of them."""

import asyncio
import io
import os
import tarfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from cais.build import kept
from cais.build.kept import KeptContexts
from cais.errors import NotFound, Unavailable

KEYS = [f"{number:064x}" for number in range(3)]


def manifest(files: Mapping[str, bytes], stamp: int = 1) -> bytes:
    records = [
        f"100644\0{len(data)}\0{stamp}\0{stamp}\0{number}\0{name}\0\0"
        for number, (name, data) in enumerate(files.items())
    ]
    return "".join(records).encode()


async def archive(files: Mapping[str, bytes]) -> AsyncIterator[bytes]:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as opened:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            opened.addfile(member, io.BytesIO(data))
    yield packed.getvalue()


async def store(contexts: KeptContexts, key: str, files: Mapping[str, bytes], stamp: int = 1) -> str:
    offer = await contexts.offer(key, manifest(files, stamp))
    if offer.missing is None:
        return offer.id
    names = [list(files)[number] for number in offer.missing]
    return await contexts.fill(offer.id, archive({name: files[name] for name in names}))


def tree(folder: Path, key: str) -> list[Path]:
    return sorted((folder / key).glob("*/tree"))


async def test_a_context_goes_when_a_newer_one_is_there_and_no_build_uses_it(tmp_path: Path) -> None:
    contexts = KeptContexts(tmp_path)
    first = await store(contexts, KEYS[0], {"a": b"1"})
    async with contexts.use(first) as used:
        used.digests[1] = bytes(32)
        second = await store(contexts, KEYS[0], {"a": b"22"}, stamp=2)
        assert (used.tree / "a").read_bytes() == b"1"
        assert len(tree(tmp_path, KEYS[0])) == 2
    await contexts.close()
    assert len(tree(tmp_path, KEYS[0])) == 1
    with pytest.raises(NotFound):
        async with contexts.use(first):
            pass
    async with contexts.use(second) as used:
        assert used.digests == {}  # its file is another one


async def test_digests_of_what_has_not_changed_are_kept_also_for_a_later_process(tmp_path: Path) -> None:
    contexts = KeptContexts(tmp_path)
    files = {"a": b"1", "b": b"2"}
    identity = await store(contexts, KEYS[0], files)
    async with contexts.use(identity) as used:
        for name in files:
            used.digests[(used.tree / name).stat().st_ino] = name.encode() * 32
    later = KeptContexts(tmp_path)
    packed = manifest(files)
    changed = packed.replace(b"100644\x001\x001\x001\x001\0b", b"100644\x001\x009\x009\x001\0b")
    assert changed != packed
    offer = await later.offer(KEYS[0], changed)
    assert offer.missing == [1]
    newer = await later.fill(offer.id, archive({"b": b"3"}))
    async with later.use(newer) as used:
        assert used.digests == {(used.tree / "a").stat().st_ino: b"a" * 32}
        assert (used.tree / "b").read_bytes() == b"3"
    await later.close()


@pytest.mark.parametrize("damage", ["truncated", "gone", "manifest", "boot"])
async def test_what_a_power_cut_may_have_damaged_is_not_used(tmp_path: Path, damage: str) -> None:
    await store(KeptContexts(tmp_path), KEYS[0], {"a": b"1"})
    (path,) = tree(tmp_path, KEYS[0])
    if damage == "truncated":
        (path / "a").write_bytes(b"")
    elif damage == "gone":
        (path / "a").unlink()
    elif damage == "manifest":
        os.truncate(path.parent / "manifest", 5)
    else:
        (path.parent / "boot").write_text("another")
    later = KeptContexts(tmp_path)
    assert await later.all() == []
    await later.close()
    assert tree(tmp_path, KEYS[0]) == []
    await store(later, KEYS[0], {"a": b"1"})
    assert len(tree(tmp_path, KEYS[0])) == 1


async def test_what_was_not_received_whole_leaves_nothing(tmp_path: Path) -> None:
    contexts = KeptContexts(tmp_path)

    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 600
        raise ConnectionResetError

    offer = await contexts.offer(KEYS[0], manifest({"a": b"1"}))
    with pytest.raises(Unavailable):
        await contexts.fill(offer.id, broken())
    assert tree(tmp_path, KEYS[0]) == []
    with pytest.raises(NotFound):
        await contexts.fill(offer.id, archive({}))


async def test_contexts_that_were_used_least_recently_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "LIMIT_BYTES", 25)
    contexts = KeptContexts(tmp_path)
    identities = []
    for key in KEYS[:2]:
        identities.append(await store(contexts, key, {"a": b"x" * 10}))
        await asyncio.sleep(0.001)
    async with contexts.use(identities[0]):
        pass
    await store(contexts, KEYS[2], {"a": b"x" * 10})
    assert [one.key for one in await contexts.all()] == [KEYS[0], KEYS[2]]
    assert await contexts.remove(KEYS[0])
    assert not await contexts.remove(KEYS[0])
    await contexts.close()
    assert [tree(tmp_path, key) != [] for key in KEYS] == [False, False, True]


async def test_offers_that_nobody_fills_are_forgotten(tmp_path: Path) -> None:
    contexts = KeptContexts(tmp_path)
    first = await contexts.offer(KEYS[0], manifest({"a": b"1"}))
    for number in range(40):
        await contexts.offer(KEYS[1], manifest({"a": b"1"}, number))
    with pytest.raises(NotFound):
        await contexts.fill(first.id, archive({"a": b"1"}))
