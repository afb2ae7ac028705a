"""`--cache-from` and `--cache-to`: the cache of a build, kept in a folder or a registry as images (cacheimages.py).

    type=registry,ref=NAME[,mode=min|max]    or NAME alone; further stages have NAME's tag and a number
    type=local,dest=FOLDER (src=FOLDER)      FOLDER/cache.tar

mode=min is the cache of the last stage alone, mode=max that of all stages.
"""

from __future__ import annotations

import os

from cais.cli.archive_file import write_archive
from cais.cli.command import CommandError
from cais.cli.credentials import authorization
from cais.cli.output import err
from cais.cli.progress import Display, show
from cais.cli.reference import Reference
from cais.client import images, system
from cais.client.codec import loads
from cais.client.engine import json_lines
from cais.client.errors import EngineError
from cais.client.http import blocks_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.command import Invocation
    from cais.cli.flags import Parsed

_ARCHIVE = "cache.tar"
_LABEL = "cais.build.cache"
_LOADED = "Loaded image ID: "
_MOST_IMAGES = 200


class CachePlace:
    """Where a cache is: a reference, or a folder."""

    __slots__ = ("folder", "is_whole", "reference")

    def __init__(self, reference: str, folder: str, *, is_whole: bool) -> None:
        self.reference = reference
        self.folder = folder
        self.is_whole = is_whole  # mode=max


def parse_places(given: Parsed, flag: str) -> list[CachePlace]:
    """What a flag names. Raises CommandError."""
    return [_parse(text, flag) for text in given.texts(flag)]


def _parse(text: str, flag: str) -> CachePlace:
    if "=" not in text:
        return CachePlace(_checked(text, flag), "", is_whole=False)
    fields = dict(item.partition("=")[::2] for item in text.split(","))
    kind, mode = fields.pop("type", ""), fields.pop("mode", "min")
    known = {"registry": "ref", "local": "dest" if flag == "cache-to" else "src"}
    if kind not in known:
        raise CommandError(f"--{flag} {text}: the type {kind!r} is not supported: there are {', '.join(known)}")
    if mode not in ("min", "max"):
        raise CommandError(f"--{flag} {text}: invalid mode {mode!r}")
    place = fields.pop(known[kind], "")
    if not place:
        raise CommandError(f"--{flag} {text}: {known[kind]} is required")
    if fields:
        raise CommandError(f"--{flag} {text}: the option {min(fields)!r} is not supported")
    if kind == "local":
        return CachePlace("", place, is_whole=mode == "max")
    return CachePlace(_checked(place, flag), "", is_whole=mode == "max")


def _checked(text: str, flag: str) -> str:
    try:
        return Reference(text).full
    except ValueError as error:
        raise CommandError(f"--{flag} {text}: {error}") from None


class ImportedCache:
    """Images that were fetched for the time of a build."""

    def __init__(self, call: Invocation) -> None:
        self._call = call
        self._fetched: list[str] = []
        self.names: list[str] = []

    def fetch(self, place: CachePlace) -> None:
        """Fetch the images of a place. What cannot be had is told, and the build goes on without."""
        try:
            if place.folder:
                self._load(os.path.join(place.folder, _ARCHIVE))
            else:
                self._pull(place.reference)
        except (CommandError, EngineError) as error:
            err(f"WARNING: no cache from {place.folder or place.reference}: {getattr(error, 'message', error)}")

    def _load(self, path: str) -> None:
        try:
            source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise CommandError(f"open {path}: {(error.strerror or str(error)).lower()}") from error
        try:
            nowhere = Display(None)
            before = {summary["Id"] for summary in images.summaries(self._call.engine, everything=True, filters={})}
            for message in json_lines(images.load(self._call.engine, blocks_of(source), {"quiet": "1"})):
                nowhere.take(message)
                text = message.get("stream", "")
                if text.startswith(_LOADED):
                    identity = text.removeprefix(_LOADED).strip()
                    self._take(identity, is_new=identity not in before)
        finally:
            os.close(source)

    def _pull(self, reference: str) -> None:
        first, tag = _parts(reference)
        labels = self._pull_one(first, tag)
        count = loads(labels.get(_LABEL, "{}")).get("images", 1)
        for number in range(1, min(count, _MOST_IMAGES)):
            self._pull_one(first, f"{tag}-{number}")

    def _pull_one(self, name: str, tag: str) -> dict[str, str]:
        """Pull an image; its labels."""
        engine, settings = self._call.engine, self._call.settings
        headers = authorization(settings, Reference(name).domain)
        whole = f"{name}:{tag}"
        is_new = not self._is_here(whole)
        show(images.pull(engine, name, tag, "", headers), None)
        self._take(whole, is_new=is_new)
        labels = (loads(system.raw_object(engine, "image", whole)).get("Config") or {}).get("Labels") or {}
        return dict(labels)

    def _is_here(self, name: str) -> bool:
        try:
            system.raw_object(self._call.engine, "image", name)
        except EngineError:
            return False
        return True

    def _take(self, name: str, *, is_new: bool) -> None:
        self.names.append(name)
        if is_new:
            self._fetched.append(name)

    def close(self) -> None:
        """Let the engine forget the images again."""
        for name in self._fetched:
            try:
                images.remove(self._call.engine, name, force=False, prune=True)
            except EngineError:
                continue


def export_cache(call: Invocation, identities: list[str], places: list[CachePlace]) -> None:
    """Bring the images with a build's cache to their places; the engine forgets them then. Raises CommandError."""
    try:
        for place in places:
            chosen = identities if place.is_whole else identities[:1]
            if place.folder:
                _save(call, chosen, place.folder)
            else:
                _push(call, chosen, place.reference)
    finally:
        for identity in identities:
            try:
                images.remove(call.engine, identity, force=False, prune=True)
            except EngineError:
                continue


def _save(call: Invocation, identities: list[str], folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise CommandError(f"mkdir {folder}: {(error.strerror or str(error)).lower()}") from error
    path = os.path.join(folder, _ARCHIVE)
    write_archive(path, lambda: images.save(call.engine, identities, {}).blocks(), "failed to export the cache")


def _push(call: Invocation, identities: list[str], reference: str) -> None:
    name, tag = _parts(reference)
    headers = authorization(call.settings, Reference(name).domain)
    for number, identity in enumerate(identities):
        own = f"{tag}-{number}" if number else tag
        images.tag(call.engine, identity, name, own)
        try:
            show(images.push(call.engine, name, {"tag": own}, headers), None)
        finally:
            images.remove(call.engine, f"{name}:{own}", force=False, prune=False)


def _parts(reference: str) -> tuple[str, str]:
    """The whole name and the tag."""
    found = Reference(reference)
    return f"{found.domain}/{found.path}", found.tag or "latest"
