"""Pulls from a registry that fails, stalls, lies, redirects and asks for credentials: SECURITY's rows on registries."""

import asyncio
import base64
import gzip
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from aiohttp import web

from cais.distribution import registry_client
from cais.distribution.oci import Platform, digest_of
from cais.distribution.platforms import host_platform
from cais.distribution.reference import parse
from cais.distribution.registry_auth import Credentials
from cais.distribution.registry_settings import RegistrySettings
from cais.engine.images import Images
from cais.engine.progress import Progress
from cais.errors import CaisError, InvalidArgument, NotFound, RegistryFailed, Unauthorized, Unavailable
from tests.harness.archives import Archive
from tests.harness.scripted_registry import INDEX, MANIFEST, ScriptedRegistry, cut, scripted_registry
from tests.harness.stores import opened_images

ROOT = Archive().folder("etc").add("etc/name", b"one").add("program", os.urandom(3 << 20), mode=0o755).data
UPPER = Archive().add("etc/.wh.name").add("etc/more", b"two").data
SENT_ROOT = gzip.compress(ROOT, 1)
SENT_UPPER = zstandard.ZstdCompressor().compress(UPPER)
SOMEBODY = Credentials(username="someone", password="secret word")
SOMEBODY_BASIC = "Basic " + base64.b64encode(b"someone:secret word").decode()


@pytest.fixture
async def images(tmp_path: Path) -> AsyncIterator[Images]:
    async with opened_images(tmp_path) as opened:
        yield opened


@pytest.fixture
async def registry() -> AsyncIterator[ScriptedRegistry]:
    async with scripted_registry() as started:
        yield started


@pytest.fixture
async def elsewhere() -> AsyncIterator[ScriptedRegistry]:
    """Another server: an object storage, a token server, a mirror."""
    async with scripted_registry() as started:
        yield started


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_client, "FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(registry_client, "SILENCE_SECONDS", 1.0)


def two_layers(registry: ScriptedRegistry, tag: str = "1") -> str:
    return registry.add_image((ROOT, SENT_ROOT), (UPPER, SENT_UPPER), tag=tag)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def left(images: Images, data_root: Path) -> list[str]:
    """What stays on disk of images beside blobs that wait for the next pull."""
    await images._store.trash.empty()
    return [f"{f}/{path.name}" for f in ("layers", "tmp/images") for path in (data_root / f).iterdir()]


def tagged(images: Images) -> list[str]:
    return [name for image in images.select(everything=True) for name in image.references]


# -- what works


async def test_layers_are_unpacked_in_order_and_progress_is_docker_s(
    images: Images, registry: ScriptedRegistry
) -> None:
    digest = two_layers(registry)
    told: list[Progress] = []
    name = parse(f"{registry.name}/some/thing:1")
    image = await images.pull(name, report=told.append)
    top, bottom = (Path(folder) for folder in images.lower_dirs(image))
    assert (bottom / "etc" / "name").read_bytes() == b"one"
    assert (top / "etc" / "more").read_bytes() == b"two"
    assert image.references == (f"{registry.name}/some/thing:1",)
    assert image.repo_digests == (f"{registry.name}/some/thing@{digest}",)
    part = digest_of(SENT_ROOT)[7:19]
    of_root = [message.status for message in told if message.id == part]
    ordered = ["Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete"]
    assert [status for status in of_root if status in ordered] == ordered
    texts = [message.status for message in told if not message.id]
    assert told[0] == Progress("Pulling from some/thing", "1")
    assert texts == [f"Digest: {digest}", f"Status: Downloaded newer image for {registry.name}/some/thing:1"]
    told.clear()
    await images.pull(name, report=told.append)
    assert told[-1].status == f"Status: Image is up to date for {registry.name}/some/thing:1"
    assert len(registry.asked("/blobs/")) == 3


async def test_a_second_image_fetches_what_it_does_not_share(images: Images, registry: ScriptedRegistry) -> None:
    two_layers(registry)
    await images.pull(parse(f"{registry.name}/x:1"))
    registry.sent_bytes = 0
    more = Archive().add("more", b"x").data
    registry.add_image((ROOT, SENT_ROOT), (UPPER, SENT_UPPER), (more, more), tag="2")
    told: list[Progress] = []
    await images.pull(parse(f"{registry.name}/x:2"), report=told.append)
    assert registry.sent_bytes < len(more) + 2000
    assert [message.status for message in told].count("Already exists") == 2


async def test_two_pulls_of_the_same_layers_share_one_download(images: Images, registry: ScriptedRegistry) -> None:
    two_layers(registry, "1")
    registry.add_image((ROOT, SENT_ROOT), tag="2")
    name = f"{registry.name}/x"
    await asyncio.gather(
        images.pull(parse(f"{name}:1")), images.pull(parse(f"{name}:2")), images.pull(parse(f"{name}:1"))
    )
    assert len(registry.asked(digest_of(SENT_ROOT))) == 1
    assert sorted(tagged(images)) == [f"{name}:1", f"{name}:2"]


async def test_who_leaves_a_shared_download_does_not_end_it(images: Images, registry: ScriptedRegistry) -> None:
    two_layers(registry)
    gate = asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse | None:
        if "/blobs/" in request.path and digest_of(SENT_ROOT) in request.path:
            await gate.wait()
        return None

    registry.hooks.append(hold)
    first = asyncio.create_task(images.pull(parse(f"{registry.name}/x:1")))
    await until(lambda: registry.asked(digest_of(SENT_ROOT)))
    second = asyncio.create_task(images.pull(parse(f"{registry.name}/x:1")))
    await until(lambda: len(registry.asked("/manifests/")) == 2)
    await asyncio.sleep(0.1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    gate.set()
    assert (await second).references == (f"{registry.name}/x:1",)
    assert len(registry.asked(digest_of(SENT_ROOT))) == 1


async def test_the_platform_chooses_among_the_manifests_of_an_index(images: Images, registry: ScriptedRegistry) -> None:
    other = "arm64" if host_platform().architecture != "arm64" else "amd64"
    listed = []
    for architecture in (other, host_platform().architecture):
        digest = registry.add_image((ROOT, SENT_ROOT), tag="part", architecture=architecture)
        platform = {"os": "linux", "architecture": architecture}
        size = len(registry.manifests[digest][0])
        listed.append({"mediaType": MANIFEST, "digest": digest, "size": size, "platform": platform})
    index = registry.add_manifest({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}, "1", media_type=INDEX)
    name = parse(f"{registry.name}/x:1")
    mine = await images.pull(name)
    assert mine.config.architecture == host_platform().architecture
    assert mine.repo_digests == (f"{registry.name}/x@{index}",)
    theirs = await images.pull(name, Platform(architecture=other, os="linux"))
    assert theirs.config.architecture == other
    with pytest.raises(NotFound, match="no matching manifest for linux/s390x in the manifest list entries"):
        await images.pull(name, Platform(architecture="s390x", os="linux"))


# -- what fails on the way


async def test_a_cut_is_resumed_where_it_happened(images: Images, registry: ScriptedRegistry) -> None:
    two_layers(registry)
    cuts = iter([1 << 20, 2 << 20])

    async def cut_twice(request: web.Request) -> web.StreamResponse | None:
        if not request.path.endswith(digest_of(SENT_ROOT)) or (length := next(cuts, None)) is None:
            return None
        offset = int(request.headers.get("Range", "bytes=0-")[6:-1])
        if not offset:
            return await cut(request, SENT_ROOT, length)
        response = web.StreamResponse(
            status=206,
            headers={
                "Content-Range": f"bytes {offset}-{len(SENT_ROOT) - 1}/{len(SENT_ROOT)}",
                "Content-Length": str(len(SENT_ROOT) - offset),
            },
        )
        await response.prepare(request)
        await response.write(SENT_ROOT[offset:length])
        await asyncio.sleep(0.05)
        assert request.transport is not None
        request.transport.abort()
        return response

    registry.hooks.append(cut_twice)
    image = await images.pull(parse(f"{registry.name}/x:1"))
    ranges = [asked.range for asked in registry.asked(digest_of(SENT_ROOT))]
    assert ranges[0] == "" and len(ranges) == 3 and all(item.startswith("bytes=") for item in ranges[1:])
    assert (Path(images.lower_dirs(image)[1]) / "program").stat().st_size == 3 << 20


async def test_a_server_without_ranges_is_read_from_the_beginning(images: Images, registry: ScriptedRegistry) -> None:
    two_layers(registry)
    answers = iter([True])

    async def cut_once(request: web.Request) -> web.StreamResponse | None:
        if not request.path.endswith(digest_of(SENT_ROOT)):
            return None
        return await cut(request, SENT_ROOT, 1 << 20) if next(answers, False) else web.Response(body=SENT_ROOT)

    registry.hooks.append(cut_once)
    await images.pull(parse(f"{registry.name}/x:1"))
    assert len(registry.asked(digest_of(SENT_ROOT))) == 2


async def test_an_interrupted_pull_leaves_nothing_tagged_and_whole_blobs_for_the_next(
    images: Images, registry: ScriptedRegistry, tmp_path: Path
) -> None:
    two_layers(registry)

    async def stall(request: web.Request) -> web.StreamResponse | None:
        if request.path.endswith(digest_of(SENT_UPPER)):
            await asyncio.sleep(60)
        return None

    registry.hooks.append(stall)
    told: list[Progress] = []
    pulling = asyncio.create_task(images.pull(parse(f"{registry.name}/x:1"), report=told.append))
    part = digest_of(SENT_ROOT)[7:19]
    await until(lambda: Progress("Download complete", part) in told)
    pulling.cancel()
    began = time.monotonic()
    await asyncio.gather(pulling, return_exceptions=True)
    assert time.monotonic() - began < 2
    assert tagged(images) == [] and await left(images, tmp_path) == []
    registry.hooks.clear()
    registry.requests.clear()
    await images.pull(parse(f"{registry.name}/x:1"))
    assert registry.asked(digest_of(SENT_ROOT)) == []


async def test_a_stall_is_retried(images: Images, registry: ScriptedRegistry) -> None:
    two_layers(registry)
    stalls = iter([True])

    async def stall(request: web.Request) -> web.StreamResponse | None:
        if request.path.endswith(digest_of(SENT_ROOT)) and next(stalls, False):
            response = web.StreamResponse(headers={"Content-Length": str(len(SENT_ROOT))})
            await response.prepare(request)
            await response.write(SENT_ROOT[:100_000])
            await asyncio.sleep(5)
            return response
        return None

    registry.hooks.append(stall)
    await images.pull(parse(f"{registry.name}/x:1"))
    assert len(registry.asked(digest_of(SENT_ROOT))) == 2


@pytest.mark.parametrize("status", [429, 503])
async def test_what_may_pass_is_tried_again(images: Images, registry: ScriptedRegistry, status: int) -> None:
    two_layers(registry)
    refusals = {"manifests": 2, "blobs": 2}

    async def refuse(request: web.Request) -> web.StreamResponse | None:
        kind = request.path.split("/")[-2]
        if refusals.get(kind, 0) > 0:
            refusals[kind] -= 1
            return web.Response(status=status, headers={"Retry-After": "0"})
        return None

    registry.hooks.append(refuse)
    assert (await images.pull(parse(f"{registry.name}/x:1"))).references


async def test_too_many_requests_in_the_end_is_an_error(images: Images, registry: ScriptedRegistry) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=429) if "manifests" in request.path else None

    registry.hooks.append(refuse)
    with pytest.raises(RegistryFailed, match="toomanyrequests: You have reached your pull rate limit"):
        await images.pull(parse(f"{registry.name}/x:1"))


# -- lies


async def test_a_layer_of_another_digest_is_refused(images: Images, registry: ScriptedRegistry, tmp_path: Path) -> None:
    two_layers(registry)
    registry.blobs[digest_of(SENT_ROOT)] = bytes([*SENT_ROOT[:-1], SENT_ROOT[-1] ^ 1])
    with pytest.raises(InvalidArgument):
        await images.pull(parse(f"{registry.name}/x:1"))
    assert tagged(images) == [] and await left(images, tmp_path) == []


@pytest.mark.parametrize("data", [SENT_ROOT + b"more", SENT_ROOT[:-1000]], ids=["longer", "shorter"])
async def test_a_layer_of_another_size_is_refused(
    images: Images, registry: ScriptedRegistry, tmp_path: Path, data: bytes
) -> None:
    two_layers(registry)
    registry.blobs[digest_of(SENT_ROOT)] = data
    with pytest.raises(InvalidArgument, match="bytes"):
        await images.pull(parse(f"{registry.name}/x:1"))
    assert tagged(images) == [] and await left(images, tmp_path) == []


async def test_a_layer_that_is_not_the_configuration_s_is_refused(
    images: Images, registry: ScriptedRegistry, tmp_path: Path
) -> None:
    registry.add_image((UPPER, SENT_ROOT))
    with pytest.raises(InvalidArgument, match="invalid diffID"):
        await images.pull(parse(f"{registry.name}/x:1"))
    assert tagged(images) == [] and await left(images, tmp_path) == []


def _manifest_and_index(manifest: Any) -> None:
    manifest["manifests"] = []


def _bad_digest(manifest: Any) -> None:
    manifest["layers"][0]["digest"] = "sha256:../../x"


def _odd_layer(manifest: Any) -> None:
    manifest["layers"][0]["mediaType"] = "text/plain"


def _no_image(manifest: Any) -> None:
    manifest["config"]["mediaType"] = "application/vnd.docker.plugin.v1+json"


def _one_layer_less(manifest: Any) -> None:
    manifest["layers"].pop()


@pytest.mark.parametrize("change", [_manifest_and_index, _bad_digest, _odd_layer, _no_image, _one_layer_less])
async def test_manifests_that_make_no_sense_are_refused(
    images: Images, registry: ScriptedRegistry, change: Any
) -> None:
    registry.add_image((ROOT, SENT_ROOT), change=change)
    with pytest.raises(InvalidArgument):
        await images.pull(parse(f"{registry.name}/x:1"))
    assert tagged(images) == []


async def test_manifests_that_are_not_what_they_are_said_to_be_are_refused(
    images: Images, registry: ScriptedRegistry
) -> None:
    two_layers(registry)
    data, _ = registry.manifests["1"]
    name = f"{registry.name}/x"
    registry.manifests["1"] = (data, INDEX)
    with pytest.raises(InvalidArgument, match="media type"):
        await images.pull(parse(f"{name}:1"))
    registry.manifests["1"] = (data, "application/vnd.docker.distribution.manifest.v1+prettyjws")
    with pytest.raises(InvalidArgument, match="schema version 1"):
        await images.pull(parse(f"{name}:1"))
    registry.manifests["1"] = (data[:-1] + b', "layers": []}', MANIFEST)
    with pytest.raises(InvalidArgument, match="a key occurs twice"):
        await images.pull(parse(f"{name}:1"))
    registry.manifests["1"] = (data + b" " * (5 << 20), MANIFEST)
    with pytest.raises(InvalidArgument, match="larger than"):
        await images.pull(parse(f"{name}:1"))
    wrong = "sha256:" + "0" * 64
    registry.manifests[wrong] = (data, MANIFEST)
    with pytest.raises(InvalidArgument, match="verification failed"):
        await images.pull(parse(f"{name}@{wrong}"))
    assert tagged(images) == []


async def test_a_foreign_layer_s_own_address_is_never_asked(
    images: Images, registry: ScriptedRegistry, elsewhere: ScriptedRegistry
) -> None:
    def foreign(manifest: Any) -> None:
        manifest["layers"][0]["urls"] = [f"http://{elsewhere.name}/layer"]

    registry.add_image((ROOT, SENT_ROOT), change=foreign)
    await images.pull(parse(f"{registry.name}/x:1"), credentials=SOMEBODY)
    assert elsewhere.requests == []


async def takes_uploads(request: web.Request) -> web.StreamResponse | None:
    """A registry that has no blob yet."""
    if request.method == "HEAD":
        return web.Response(status=404)
    if request.method == "POST":
        return web.Response(status=202, headers={"Location": "/upload/1"})
    if request.method == "PATCH":
        await request.read()
        return web.Response(status=202, headers={"Location": "/upload/1"})
    return web.Response(status=201) if request.method == "PUT" else None


async def test_a_damaged_blob_is_found_and_fetched_again(
    images: Images, registry: ScriptedRegistry, tmp_path: Path
) -> None:
    two_layers(registry)
    name = f"{registry.name}/x"
    await images.pull(parse(f"{name}:1"))
    path = tmp_path / "blobs" / "sha256" / digest_of(SENT_ROOT)[7:]
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    registry.hooks.append(takes_uploads)
    with pytest.raises(CaisError, match="damaged"):
        await images.push(parse(f"{name}:1"))
    registry.hooks.clear()
    registry.requests.clear()
    await images.pull(parse(f"{name}:1"))
    assert len(registry.asked(digest_of(SENT_ROOT))) == 1
    assert digest_of(path.read_bytes()) == digest_of(SENT_ROOT)


# -- credentials


def asks_basic(registry: ScriptedRegistry) -> None:
    async def ask(request: web.Request) -> web.StreamResponse | None:
        if request.headers.get("Authorization") == SOMEBODY_BASIC:
            return None
        error = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}
        return web.json_response(error, status=401, headers={"WWW-Authenticate": 'Basic realm="a, b"'})

    registry.hooks.append(ask)


async def test_a_redirect_to_another_host_carries_no_credentials(
    images: Images, registry: ScriptedRegistry, elsewhere: ScriptedRegistry
) -> None:
    two_layers(registry)
    asks_basic(registry)
    elsewhere.blobs = registry.blobs

    async def redirect(request: web.Request) -> web.StreamResponse | None:
        if "/blobs/" not in request.path:
            return None
        return web.Response(status=307, headers={"Location": f"http://{elsewhere.name}{request.path}?signed=1"})

    registry.hooks.append(redirect)
    await images.pull(parse(f"{registry.name}/x:1"), credentials=SOMEBODY)
    assert len(elsewhere.requests) == 3
    assert {asked.authorization for asked in elsewhere.requests} == {""}


async def test_another_host_that_asks_for_credentials_gets_none(
    images: Images, registry: ScriptedRegistry, elsewhere: ScriptedRegistry
) -> None:
    two_layers(registry)
    asks_basic(registry)
    asks_basic(elsewhere)

    async def redirect(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=302, headers={"Location": f"http://{elsewhere.name}{request.path}"})

    registry.hooks.append(redirect)
    with pytest.raises(RegistryFailed):
        await images.pull(parse(f"{registry.name}/x:1"), credentials=SOMEBODY)
    assert elsewhere.requests and {asked.authorization for asked in elsewhere.requests} == {""}


async def test_without_and_with_wrong_credentials(images: Images, registry: ScriptedRegistry) -> None:
    two_layers(registry)
    asks_basic(registry)
    name = parse(f"{registry.name}/x:1")
    with pytest.raises(RegistryFailed, match="no basic auth credentials"):
        await images.pull(name)
    with pytest.raises(RegistryFailed, match="unauthorized: authentication required"):
        await images.pull(name, credentials=Credentials(username="someone", password="wrong"))
    assert "secret" not in repr(SOMEBODY)


class TokenServer:
    """Gives tokens that are good for a number of requests, to somebody or in exchange for an identity token."""

    def __init__(self, registry: ScriptedRegistry, server: ScriptedRegistry, uses: int = 1000) -> None:
        self.uses = uses
        self.given = 0
        self.left: dict[str, int] = {}
        self.asked: list[dict[str, str]] = []
        registry.hooks.append(self.check)
        server.hooks.append(self.give)
        self.realm = f"http://{server.name}/token"

    async def give(self, request: web.Request) -> web.StreamResponse:
        form = dict(await request.post())
        self.asked.append({**dict(request.query), **{name: str(value) for name, value in form.items()}})
        is_known = request.headers.get("Authorization") == SOMEBODY_BASIC or form.get("refresh_token") == "identity"
        if not is_known:
            return web.json_response({"details": "incorrect username or password"}, status=401)
        self.given += 1
        token = f"token-{self.given}"
        self.left[token] = self.uses
        answer = {"access_token" if form else "token": token, "expires_in": 300}
        if request.query.get("offline_token"):
            answer["refresh_token"] = "identity"
        return web.json_response(answer)

    async def check(self, request: web.Request) -> web.StreamResponse | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.left.get(token, 0) > 0:
            self.left[token] -= 1
            return None
        scope = "" if request.path == "/v2/" else ',scope="repository:x:pull",error="invalid_token"'
        challenge = f'Bearer realm="{self.realm}",service="the service, here"{scope}'
        error = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}
        return web.json_response(error, status=401, headers={"WWW-Authenticate": challenge})


async def test_a_token_is_asked_for_once_and_the_password_stays_with_the_token_server(
    images: Images, registry: ScriptedRegistry, elsewhere: ScriptedRegistry
) -> None:
    two_layers(registry)
    tokens = TokenServer(registry, elsewhere)
    await images.pull(parse(f"{registry.name}/x:1"), credentials=SOMEBODY)
    assert tokens.asked == [{"service": "the service, here", "scope": "repository:x:pull", "account": "someone"}]
    assert not any(asked.authorization.startswith("Basic") for asked in registry.requests)


async def test_a_token_that_has_expired_is_asked_for_anew(
    images: Images, registry: ScriptedRegistry, elsewhere: ScriptedRegistry
) -> None:
    registry.add_image((ROOT, SENT_ROOT))
    tokens = TokenServer(registry, elsewhere, uses=1)
    await images.pull(parse(f"{registry.name}/x:1"), credentials=SOMEBODY)
    assert tokens.given == 3  # for the manifest, the configuration and the layer


async def test_an_identity_token_is_exchanged(
    images: Images, registry: ScriptedRegistry, elsewhere: ScriptedRegistry
) -> None:
    two_layers(registry)
    tokens = TokenServer(registry, elsewhere)
    given = Credentials(username="<token>", identitytoken="identity")
    await images.pull(parse(f"{registry.name}/x:1"), credentials=given)
    assert tokens.asked[0]["grant_type"] == "refresh_token"
    login = Credentials(username="someone", password="secret word", serveraddress=registry.name)
    assert await images.registries.login(login) == "identity"
    with pytest.raises(Unauthorized, match="incorrect username or password"):
        await images.registries.login(Credentials(username="someone", password="x", serveraddress=registry.name))


# -- mirrors, distribution, search


async def test_docker_hub_s_mirror_is_asked_first_and_without_credentials(
    registry: ScriptedRegistry, tmp_path: Path
) -> None:
    two_layers(registry)
    settings = RegistrySettings(mirrors=(f"http://{registry.name}/",))
    async with opened_images(tmp_path, registries=settings) as images:
        image = await images.pull(parse("thing:1"), credentials=SOMEBODY)
    assert image.references == ("thing:1",)
    assert registry.asked("/v2/library/thing/manifests/1")
    assert {asked.authorization for asked in registry.requests} == {""}


async def body(data: bytes) -> AsyncIterator[bytes]:
    yield data


@pytest.fixture
def uploads(registry: ScriptedRegistry) -> list[tuple[str, int]]:
    """Lets the registry take uploads; each whole one, as its digest and how many bytes came."""
    taken: list[tuple[str, int]] = []
    arrived: dict[str, bytes] = {}

    async def take(request: web.Request) -> web.StreamResponse | None:
        if request.method == "POST" and request.path.endswith("/blobs/uploads/"):
            return web.Response(status=202, headers={"Location": f"{request.path}{len(registry.requests)}"})
        if request.method == "PUT" and "/manifests/" in request.path:
            return web.Response(status=201)
        if request.method == "PATCH":
            arrived[request.path] = await request.read()
            return web.Response(status=202, headers={"Location": request.path})
        if request.method == "PUT":
            data = arrived.pop(request.path)
            assert digest_of(data) == request.query["digest"]
            taken.append((request.query["digest"], len(data)))
            return web.Response(status=201)
        return None

    registry.hooks.append(take)
    return taken


@pytest.mark.parametrize("how", ["refused", "cut"])
async def test_a_push_that_breaks_off_begins_that_blob_again(
    images: Images, registry: ScriptedRegistry, uploads: list[tuple[str, int]], how: str
) -> None:
    failures = 2

    async def fail(request: web.Request) -> web.StreamResponse | None:
        nonlocal failures
        if request.method != "PATCH" or not failures:
            return None
        failures -= 1
        await request.content.readany()
        if how == "cut":
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({}, status=503)

    registry.hooks.insert(0, fail)
    name = parse(f"{registry.name}/a:1")
    image = await images.import_(body(Archive().add("big", os.urandom(3 << 20)).data), reference=name)
    told: list[Progress] = []
    await images.push(name, report=told.append)
    statuses = [message.status for message in told]
    assert [status for status in statuses if status.startswith("Retrying")]
    assert statuses.count("Pushed") == 1
    assert [digest for digest, _ in uploads].count(image.id) == 1
    assert len(uploads) == 2
    assert any(reference.startswith(f"{registry.name}/a@") for reference in images.resolve(image.id).repo_digests)


async def test_a_push_that_is_refused_for_good_is_not_tried_again(
    images: Images, registry: ScriptedRegistry, uploads: list[tuple[str, int]]
) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse | None:
        if request.method == "POST" and request.path.endswith("/blobs/uploads/"):
            error = {"code": "DENIED", "message": "requested access to the resource is denied"}
            return web.json_response({"errors": [error]}, status=403)
        return None

    registry.hooks.insert(0, refuse)
    name = parse(f"{registry.name}/a:1")
    await images.import_(body(ROOT), reference=name)
    with pytest.raises(CaisError, match="requested access to the resource is denied"):
        await images.push(name)
    assert len([asked for asked in registry.requests if asked.method == "POST"]) == 1
    assert uploads == []


async def test_a_push_without_the_archive_of_a_layer_says_how_to_get_it_back(
    images: Images, registry: ScriptedRegistry, uploads: list[tuple[str, int]]
) -> None:
    name = parse(f"{registry.name}/a:1")
    image = await images.import_(body(ROOT), reference=name)
    (blob,) = images._store.layers.archives(image.config.diff_ids[0])
    images._store.blobs.discard(blob.digest)
    with pytest.raises(
        Unavailable, match=r"the archive of layer sha256:\w+ is not here .* pull or load its image again"
    ):
        await images.push(name)
    await images.import_(body(ROOT), reference=name)  # the same layer, which has an archive again
    await images.push(name)
    assert blob.digest in {digest for digest, _ in uploads}


async def test_the_distribution_endpoint_describes_without_pulling(images: Images, registry: ScriptedRegistry) -> None:
    digest = two_layers(registry)
    found = await images.registries.distribution(parse(f"{registry.name}/x:1"))
    assert (found.descriptor.digest, found.descriptor.media_type) == (digest, MANIFEST)
    assert found.platforms == (host_platform(),)
    with pytest.raises(NotFound, match="not found: manifest unknown: manifest unknown"):
        await images.registries.distribution(parse(f"{registry.name}/x:2"))


async def test_a_registry_is_searched(images: Images, registry: ScriptedRegistry) -> None:
    results = [{"name": f"r{number}", "star_count": number, "is_official": number > 2} for number in range(5)]

    async def search(request: web.Request) -> web.StreamResponse | None:
        return web.json_response({"results": results}) if request.path == "/v1/search" else None

    registry.hooks.append(search)
    found = await images.registries.search(f"{registry.name}/some thing", 3)
    assert [item.name for item in found] == ["r0", "r1", "r2"]
    assert registry.asked("/v1/search")[0].path == "/v1/search?q=some+thing&n=3"
    with pytest.raises(InvalidArgument, match="outside the range of"):
        await images.registries.search("x", 101)
    registry.hooks.clear()
    with pytest.raises(RegistryFailed, match="Unexpected status code 404"):
        await images.registries.search(f"{registry.name}/x")
