"""Real registries, Debian's docker-registry, and the real docker client against our engine: pull, push, login."""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.engine import Daemon
from tests.harness.images import busybox_root
from tests.harness.proxy import Proxy, running_proxy
from tests.harness.registry import PASSWORD, USER, RealRegistry, real_registry

CERTIFICATES = Path("/etc/cais/certs.d")


@pytest.fixture(scope="module")
def registry(clean_host: None) -> Iterator[RealRegistry]:
    with real_registry() as started:
        yield started


@pytest.fixture
def other_registry(clean_host: None) -> Iterator[RealRegistry]:
    with real_registry() as started:
        yield started


@pytest.fixture
def no_images(caisd: Daemon) -> Iterator[None]:
    """Removes what a test has tagged, but for busybox itself."""
    yield
    for image in caisd.ask("GET", "/images/json").json.items:
        for name in image["RepoTags"].items:
            if name.text != "busybox:latest":
                caisd.ask("DELETE", f"/images/{name.text}?force=1")


def header(username: str, password: str) -> str:
    return base64.urlsafe_b64encode(json.dumps({"username": username, "password": password}).encode()).decode()


def digest_line(output: str) -> str:
    """The digest that push or pull has told."""
    return next(word for word in output.replace("Digest:", "digest:").split() if word.startswith("sha256:"))


@pytest.mark.usefixtures("no_images")
def test_an_image_goes_round_with_the_same_digest(
    caisd: Daemon, registry: RealRegistry, other_registry: RealRegistry
) -> None:
    name = f"{registry.name}/round:1"
    caisd.docker_output("tag", "busybox", name)
    pushed = digest_line(caisd.docker_output("push", name))
    shown = json.loads(caisd.docker_output("image", "inspect", name))[0]
    assert f"{registry.name}/round@{pushed}" in shown["RepoDigests"]
    caisd.docker_output("rmi", name)
    pulled = caisd.docker_output("pull", name)
    assert digest_line(pulled) == pushed
    assert f"Status: Downloaded newer image for {name}" in pulled
    assert f"Status: Image is up to date for {name}" in caisd.docker_output("pull", name)
    elsewhere = f"{other_registry.name}/else:2"
    caisd.docker_output("tag", name, elsewhere)
    assert digest_line(caisd.docker_output("push", elsewhere)) == pushed
    run = ("run", "--rm", "--network", "none", f"{registry.name}/round@{pushed}", "echo", "hi")
    assert caisd.docker_output(*run) == "hi"


@pytest.mark.usefixtures("no_images")
def test_a_second_push_sends_what_has_changed_alone(caisd: Daemon, registry: RealRegistry) -> None:
    caisd.docker_output("tag", "busybox", f"{registry.name}/first:1")
    assert ": Pushed" in caisd.docker_output("push", f"{registry.name}/first:1")
    registry.forget_requests()
    assert "Layer already exists" in caisd.docker_output("push", f"{registry.name}/first:1")
    assert not registry.requests("PATCH", "/blobs/")
    caisd.docker_output("tag", "busybox", f"{registry.name}/second:1")
    assert "Mounted from first" in caisd.docker_output("push", f"{registry.name}/second:1")
    patched = registry.requests("PATCH", "/v2/second/")
    assert len(patched) <= 1, patched  # the configuration, which is no layer


@pytest.mark.usefixtures("no_images")
def test_all_tags_are_pushed_and_pulled(caisd: Daemon, registry: RealRegistry) -> None:
    caisd.import_root(f"{registry.name}/many:a", busybox_root(), "LABEL which=a")
    caisd.import_root(f"{registry.name}/many:b", busybox_root(), "LABEL which=b")
    caisd.docker_output("push", "-a", f"{registry.name}/many")
    caisd.docker_output("rmi", f"{registry.name}/many:a", f"{registry.name}/many:b")
    caisd.docker_output("pull", "-a", f"{registry.name}/many")
    listed = caisd.docker_output("images", f"{registry.name}/many", "--format", "{{.Tag}}")
    assert sorted(listed.split()) == ["a", "b"]


def test_what_is_not_there_is_told_in_docker_s_words(caisd: Daemon, registry: RealRegistry) -> None:
    name = f"{registry.name}/nothing"
    answer = caisd.ask("POST", f"/images/create?fromImage={name}&tag=1")
    assert answer.status == 404
    assert answer.json["message"].text == f"manifest for {name}:1 not found: manifest unknown: manifest unknown"
    answer = caisd.ask("POST", "/images/create?fromImage=localhost:1/x&tag=1")
    assert answer.status == 500
    assert answer.json["message"].text == (
        'Get "http://localhost:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused'
    )
    push = caisd.docker("push", f"{name}:1")
    assert push.returncode == 1
    assert f"An image does not exist locally with the tag: {name}" in push.stderr
    caisd.docker_output("tag", "busybox", f"{name}:2")
    assert f"tag does not exist: {name}:1" in caisd.docker("push", f"{name}:1").stderr
    caisd.docker_output("rmi", f"{name}:2")


@pytest.mark.usefixtures("no_images")
def test_a_registry_with_a_password(caisd: Daemon) -> None:
    with real_registry(password=True) as registry:
        name = f"{registry.name}/closed:1"
        caisd.docker_output("tag", "busybox", name)
        refused = caisd.docker("push", name)
        assert refused.returncode == 1 and "no basic auth credentials" in refused.stderr
        wrong = caisd.docker("login", "-u", USER, "--password-stdin", registry.name, stdin="wrong")
        assert wrong.returncode == 1 and "unauthorized" in wrong.stderr.lower()
        right = caisd.docker("login", "-u", USER, "--password-stdin", registry.name, stdin=PASSWORD)
        assert right.returncode == 0 and "Login Succeeded" in right.stdout, right.stderr
        caisd.docker_output("push", name)
        caisd.docker_output("pull", name)
        found = caisd.ask("GET", f"/distribution/{name}/json")
        assert found.status == 500
        caisd.docker_output("logout", registry.name)
        assert caisd.docker("pull", name).returncode == 1
        assert PASSWORD not in caisd.log_text()


def test_the_login_check_of_the_api(caisd: Daemon) -> None:
    with real_registry(password=True) as registry:
        given = {"username": USER, "password": "wrong", "serveraddress": registry.name}
        assert caisd.ask("POST", "/auth", given).status == 401
        answer = caisd.ask("POST", "/auth", {**given, "password": PASSWORD})
        assert (answer.status, answer.json["Status"].text) == (200, "Login Succeeded")
    assert caisd.ask("POST", "/auth", {**given, "serveraddress": "a b:c"}).status == 400


@pytest.mark.usefixtures("no_images")
def test_tls_needs_a_known_authority(caisd: Daemon) -> None:
    with real_registry(tls=True) as registry:
        # Loopback is insecure: any certificate will do. By another name of this machine it is not.
        caisd.docker_output("tag", "busybox", f"{registry.name}/safe:1")
        caisd.docker_output("push", f"{registry.name}/safe:1")
        folder = CERTIFICATES / registry.name
        folder.mkdir(parents=True)
        try:
            (folder / "client.cert").write_bytes(registry.certificate.read_bytes())
            answer = caisd.ask("POST", f"/images/create?fromImage={registry.name}/safe&tag=1")
            assert "missing key client.key for client certificate client.cert" in answer.json["message"].text
            (folder / "client.cert").unlink()
            (folder / "ca.crt").write_bytes(registry.certificate.read_bytes())
            caisd.docker_output("pull", f"{registry.name}/safe:1")
        finally:
            subprocess.run(["rm", "-r", str(folder)], check=True)


@pytest.fixture
def proxy(clean_host: None) -> Iterator[Proxy]:
    with running_proxy() as started:
        yield started


@pytest.fixture
def behind_proxy(proxy: Proxy) -> Iterator[Daemon]:
    """A daemon that reaches other machines through a proxy alone."""
    daemon = Daemon(
        options=["--insecure-registry", "plain.test"],
        variables={
            "HTTP_PROXY": proxy.address.replace("//", "//user:secret@"),
            "HTTPS_PROXY": proxy.address,
            "NO_PROXY": "direct.test",
        },
    )
    daemon.start()
    daemon.import_busybox()
    try:
        yield daemon
    finally:
        daemon.destroy()


@pytest.fixture
def certificates() -> Iterator[Path]:
    """The folder of certificates, from which what a test has made is removed."""
    before = set(CERTIFICATES.iterdir()) if CERTIFICATES.is_dir() else set()
    yield CERTIFICATES
    for folder in set(CERTIFICATES.iterdir()) - before if CERTIFICATES.is_dir() else ():
        subprocess.run(["rm", "-r", str(folder)], check=True)


def test_a_proxy_is_used_for_other_machines(behind_proxy: Daemon, proxy: Proxy) -> None:
    with real_registry() as registry:
        name = f"plain.test:{registry.port}/a:1"
        behind_proxy.docker_output("tag", "busybox", name)
        pushed = behind_proxy.docker_output("push", name)
        behind_proxy.docker_output("rmi", name)
        assert digest_line(behind_proxy.docker_output("pull", name)) == digest_line(pushed)
        assert f"CONNECT plain.test:{registry.port} HTTP/1.1" in proxy.requests  # https comes first
        assert f"GET http://plain.test:{registry.port}/v2/ HTTP/1.1" in proxy.requests
        del proxy.requests[:]
        behind_proxy.docker_output("tag", "busybox", f"{registry.name}/a:2")
        behind_proxy.docker_output("push", f"{registry.name}/a:2")
        assert behind_proxy.docker("pull", "direct.test/a").returncode == 1
        assert proxy.requests == []
    shown = json.loads(behind_proxy.docker_output("info", "--format", "{{json .}}"))
    assert shown["HttpProxy"] == proxy.address.replace("//", "//xxxxx:xxxxx@")
    assert (shown["HttpsProxy"], shown["NoProxy"]) == (proxy.address, "direct.test")
    assert "secret" not in behind_proxy.log_text()


def test_an_unknown_authority_is_refused_and_a_known_one_is_trusted(behind_proxy: Daemon, certificates: Path) -> None:
    with real_registry(tls=True) as registry:
        host = f"registry.test:{registry.port}"
        behind_proxy.docker_output("tag", "busybox", f"{host}/a:1")
        for verb in ("push", "pull"):
            done = behind_proxy.docker(verb, f"{host}/a:1")
            assert done.returncode == 1
            assert "tls: failed to verify certificate: x509: certificate signed by unknown authority" in done.stderr
        (certificates / host).mkdir(parents=True)
        (certificates / host / "ca.crt").write_bytes(registry.certificate.read_bytes())
        behind_proxy.docker_output("push", f"{host}/a:1")
        behind_proxy.docker_output("pull", f"{host}/a:1")
        other = f"other.test:{registry.port}"  # of which the certificate says nothing
        (certificates / other).mkdir()
        (certificates / other / "ca.crt").write_bytes(registry.certificate.read_bytes())
        assert "x509: Hostname mismatch" in behind_proxy.docker("pull", f"{other}/a:1").stderr


def test_a_registry_that_wants_a_certificate_gets_that_of_its_folder(behind_proxy: Daemon, certificates: Path) -> None:
    with real_registry(tls=True, mutual=True) as registry:
        name = f"registry.test:{registry.port}/a:1"
        folder = certificates / f"registry.test:{registry.port}"
        folder.mkdir(parents=True)
        (folder / "ca.crt").write_bytes(registry.certificate.read_bytes())
        behind_proxy.docker_output("tag", "busybox", name)
        refused = behind_proxy.docker("push", name)
        assert refused.returncode == 1
        assert "remote error: tls: " in refused.stderr and "certificate" in refused.stderr
        (folder / "client.cert").write_bytes(registry.certificate.read_bytes())
        (folder / "client.key").write_bytes((registry.folder / "server.key").read_bytes())
        behind_proxy.docker_output("push", name)
        behind_proxy.docker_output("rmi", name)
        behind_proxy.docker_output("pull", name)


def test_the_options_are_shown_and_checked() -> None:
    daemon = Daemon(
        options=["--insecure-registry", "reg.example:5000", "--insecure-registry", "10.1.0.0/16",
                 "--registry-mirror", "http://127.0.0.1:9/", "--max-concurrent-downloads", "2"]
    )  # fmt: skip
    daemon.start()
    try:
        shown = json.loads(daemon.docker_output("info", "--format", "{{json .RegistryConfig}}"))
    finally:
        daemon.destroy()
    assert shown["InsecureRegistryCIDRs"] == ["::1/128", "127.0.0.0/8", "10.1.0.0/16"]
    assert shown["IndexConfigs"]["reg.example:5000"]["Secure"] is False
    assert shown["Mirrors"] == ["http://127.0.0.1:9/"]


@pytest.mark.usefixtures("no_images")
def test_docker_py_pulls_and_pushes(caisd: Daemon, registry: RealRegistry) -> None:
    client = caisd.sdk()
    try:
        client.images.get("busybox").tag(f"{registry.name}/py", tag="1")
        told = list(client.images.push(f"{registry.name}/py", tag="1", stream=True, decode=True))
        digests = [line["aux"]["Digest"] for line in told if "aux" in line]
        assert len(digests) == 1
        client.images.remove(f"{registry.name}/py:1")
        pulled = client.images.pull(f"{registry.name}/py", tag="1")
        assert f"{registry.name}/py@{digests[0]}" in pulled.attrs["RepoDigests"]
        found = client.images.get_registry_data(f"{registry.name}/py:1")
        assert found.id == digests[0] and found.has_platform("linux/amd64")
    finally:
        client.close()
