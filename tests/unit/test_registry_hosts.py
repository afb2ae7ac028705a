"""Which servers stand behind a name, and how they are reached."""

from pathlib import Path

import pytest

from cais.distribution.registry_hosts import (
    Endpoint,
    endpoints,
    mirrors,
    parse_insecure,
    parse_mirror,
    proxy_for,
    tls_context,
)
from cais.distribution.registry_settings import RegistrySettings
from cais.errors import InvalidArgument

SETTINGS = RegistrySettings(insecure=("named.invalid:5000", "10.1.0.0/16"), mirrors=("https://mirror.invalid/sub/",))


def test_docker_hub_has_a_server_of_another_name_and_mirrors() -> None:
    assert endpoints("docker.io", SETTINGS) == [Endpoint("https", "registry-1.docker.io")]
    assert mirrors("docker.io", SETTINGS) == [Endpoint("https", "mirror.invalid", mirror=True, prefix="/sub")]
    assert mirrors("10.1.2.3", SETTINGS) == []


@pytest.mark.parametrize("host", ["127.0.0.1:5000", "localhost", "[::1]:5000", "10.1.2.3", "named.invalid:5000"])
def test_insecure_is_https_with_any_certificate_and_then_http(host: str) -> None:
    assert endpoints(host, SETTINGS) == [Endpoint("https", host, False), Endpoint("http", host, False)]


@pytest.mark.parametrize("host", ["10.2.2.3", "named.invalid:5001", "192.0.2.1:443"])
def test_everything_else_is_https_alone(host: str) -> None:
    assert endpoints(host, SETTINGS) == [Endpoint("https", host)]


def test_what_is_insecure_is_checked() -> None:
    assert parse_insecure("Host:5000") == "host:5000"
    assert parse_insecure("10.1.2.3/16") == "10.1.0.0/16"
    for text in ("http://x", "x/y", "", "a b", ":5000", "x:port", "me@x"):
        with pytest.raises(InvalidArgument):
            parse_insecure(text)


def test_a_mirror_is_checked() -> None:
    assert parse_mirror("https://m.example") == "https://m.example/"
    assert parse_mirror("http://m.example:1/sub/") == "http://m.example:1/sub/"
    for text in ("m.example", "ftp://m", "https://", "https://u:p@m", "https://m?x", "https://m#x", "https://m:x"):
        with pytest.raises(InvalidArgument):
            parse_mirror(text)


def test_certificates_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "reg:5000"
    folder.mkdir()
    endpoint = Endpoint("https", "reg:5000")
    (folder / "x.cert").write_text("")
    with pytest.raises(InvalidArgument, match=r"missing key x\.key for client certificate x\.cert"):
        tls_context(endpoint, [tmp_path])
    (folder / "x.cert").unlink()
    (folder / "x.key").write_text("")
    with pytest.raises(InvalidArgument, match=r"missing client certificate x\.cert for key x\.key"):
        tls_context(endpoint, [tmp_path])
    (folder / "x.key").unlink()
    (folder / "ca.crt").write_text("rubbish")
    with pytest.raises(InvalidArgument, match="read certificate"):
        tls_context(endpoint, [tmp_path])
    assert tls_context(Endpoint("https", "other"), [tmp_path]).check_hostname


def test_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    monkeypatch.setenv("no_proxy", "inner.example")
    assert proxy_for("https://outer.example/v2/") == "http://proxy.example:3128"
    assert proxy_for("http://outer.example/v2/") is None
    assert proxy_for("https://inner.example/v2/") is None
    assert proxy_for("https://localhost:5000/v2/") is None
    assert proxy_for("https://127.0.0.1:5000/v2/") is None
