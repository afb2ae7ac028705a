"""Which servers stand behind the domain of an image's name, and how each is reached.

    docker.io            the mirrors, then https://registry-1.docker.io
    HOST[:PORT]          https://HOST[:PORT]; where it is insecure: https with any certificate, then http

Insecure are loopback addresses and what the daemon was told (`--insecure-registry HOST[:PORT]` or a network).
Certificates of private authorities (*.crt) and of clients (NAME.cert with NAME.key) are looked for in
/etc/cais/certs.d/HOST[:PORT] and /etc/docker/certs.d/HOST[:PORT].
"""

import ipaddress
import os
import socket
import ssl
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cais.distribution.reference import DEFAULT_DOMAIN
from cais.distribution.registry_settings import LOOPBACK, RegistrySettings
from cais.errors import InvalidArgument

HUB_HOST: Final = "registry-1.docker.io"
HUB_SEARCH_HOST: Final = "index.docker.io"
CERTIFICATE_FOLDERS: Final = (Path("/etc/cais/certs.d"), Path("/etc/docker/certs.d"))

_MAX_CERTIFICATE_BYTES: Final = 1 << 20
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server. `verify` is false where any certificate will do; `mirror`: it gets no credentials."""

    scheme: str
    host: str
    verify: bool = True
    mirror: bool = False
    prefix: str = ""

    @property
    def url(self) -> str:
        """The address below which "/v2/" is."""
        return f"{self.scheme}://{self.host}{self.prefix}"


def parse_insecure(text: str) -> str:
    """HOST[:PORT] or a network in CIDR form, normalized. Raises: InvalidArgument."""
    if "://" in text:
        raise InvalidArgument(f"insecure registry {text} should not contain '://'")
    if "/" in text:
        try:
            return str(ipaddress.ip_network(text, strict=False))
        except ValueError as error:
            raise InvalidArgument(f"insecure registry {text} is not valid: {error}") from None
    split = urlsplit(f"//{text}")
    try:
        valid = bool(split.hostname) and (split.port is None or split.port > 0) and split.username is None
    except ValueError:
        valid = False
    if not valid or any(character.isspace() for character in text):
        raise InvalidArgument(f"insecure registry {text} is not valid: invalid host {text!r}")
    return text.lower()


def parse_mirror(text: str) -> str:
    """The address of a mirror, http or https, with one "/" at its end. Raises: InvalidArgument."""
    split = urlsplit(text)
    try:
        port = split.port
    except ValueError:
        port = 0
    if split.scheme not in ("http", "https") or not split.hostname or port == 0:
        raise InvalidArgument(f"invalid mirror: {text!r} is not a valid URI")
    if split.username is not None or split.query or split.fragment:
        raise InvalidArgument(
            f"invalid mirror: user, query and fragment are not allowed in {text.rpartition('@')[2]!r}"
        )
    return f"{split.scheme}://{split.netloc}{split.path.rstrip('/')}/"


def endpoints(domain: str, settings: RegistrySettings) -> list[Endpoint]:
    """The servers to try for a domain, in order. Blocks: it may ask for the addresses of the host."""
    return [Endpoint("https", HUB_HOST)] if domain == DEFAULT_DOMAIN else _of_host(domain, settings)


def mirrors(domain: str, settings: RegistrySettings) -> list[Endpoint]:
    """The servers that are asked for a domain's images before its own. Blocks like `endpoints`."""
    found = []
    for mirror in settings.mirrors if domain == DEFAULT_DOMAIN else ():
        split = urlsplit(mirror)
        verify = not is_insecure(split.netloc, settings)
        found.append(Endpoint(split.scheme, split.netloc, verify, mirror=True, prefix=split.path.rstrip("/")))
    return found


def search_endpoints(domain: str, settings: RegistrySettings) -> list[Endpoint]:
    """The servers to ask for a search. Blocks like `endpoints`."""
    return [Endpoint("https", HUB_SEARCH_HOST)] if domain == DEFAULT_DOMAIN else _of_host(domain, settings)


def _of_host(host: str, settings: RegistrySettings) -> list[Endpoint]:
    if is_insecure(host, settings):
        return [Endpoint("https", host, verify=False), Endpoint("http", host, verify=False)]
    return [Endpoint("https", host)]


def is_insecure(host: str, settings: RegistrySettings) -> bool:
    """Whether HOST[:PORT] needs no certificate. Blocks: a name is looked up."""
    name = (urlsplit(f"//{host}").hostname or host).lower()
    if host.lower() in settings.hosts or name in settings.hosts:
        return True
    networks = [ipaddress.ip_network(network) for network in settings.networks]
    return any(_is_within(address, networks) for address in _addresses(name))


def _is_within(address: str, networks: Iterable[_Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return any(parsed.version == network.version and parsed in network for network in networks)


def _addresses(name: str) -> list[str]:
    try:
        return [str(ipaddress.ip_address(name))]
    except ValueError:
        pass
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(name, None, proto=socket.IPPROTO_TCP)]
    except OSError:
        return []


def tls_context(endpoint: Endpoint, folders: Iterable[Path] = CERTIFICATE_FOLDERS) -> ssl.SSLContext:
    """How to speak TLS with an endpoint: the system's authorities and those of its own folder. Blocks.

    Raises: InvalidArgument for a certificate that cannot be read, or without its key.
    """
    context = ssl.create_default_context()
    if not endpoint.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for folder in folders:
        _load_folder(context, folder / endpoint.host)
    return context


def _load_folder(context: ssl.SSLContext, folder: Path) -> None:
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise InvalidArgument(f"read certificates in {str(folder)!r}: {error.strerror}") from error
    for name in names:
        path = folder / name
        try:
            if name.endswith(".crt"):
                if path.stat().st_size > _MAX_CERTIFICATE_BYTES:
                    raise InvalidArgument(f"certificate {str(path)!r} is too large")
                context.load_verify_locations(cafile=str(path))
            elif name.endswith(".cert"):
                key = path.with_suffix(".key")
                if not key.exists():
                    raise InvalidArgument(
                        f"missing key {key.name} for client certificate {name}. "
                        "CA certificates must use the extension .crt"
                    )
                context.load_cert_chain(str(path), str(key))
            elif name.endswith(".key") and not path.with_suffix(".cert").exists():
                raise InvalidArgument(f"missing client certificate {path.with_suffix('.cert').name} for key {name}")
        except (OSError, ssl.SSLError) as error:
            raise InvalidArgument(f"read certificate {str(path)!r}: {error.strerror or error}") from error


def proxy_for(url: str) -> str | None:
    """The proxy that the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY) has for an address; none for loopback."""
    split = urlsplit(url)
    name = split.hostname or ""
    if name == "localhost" or _is_within(name, [ipaddress.ip_network(network) for network in LOOPBACK]):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(split.scheme)
    if not proxy or urllib.request.proxy_bypass(split.netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
