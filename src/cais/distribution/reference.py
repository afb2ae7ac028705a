"""Names of images: Docker's grammar of references, and what a short name stands for.

    reference   [domain "/"] path [":" tag] ["@" digest]
    busybox     docker.io/library/busybox:latest, in full

The *familiar* form leaves out "docker.io/" and "library/"; it is what people type and read.
Grammar: github.com/distribution/reference.
"""

import re
from typing import Final

import msgspec

from cais.errors import InvalidArgument

DEFAULT_DOMAIN: Final = "docker.io"
DEFAULT_TAG: Final = "latest"
MAX_NAME_LENGTH: Final = 255

_LEGACY_DOMAIN: Final = "index.docker.io"
_OFFICIAL: Final = "library/"

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"

_REFERENCE: Final = re.compile(
    rf"(?P<name>(?:(?P<domain>{_DOMAIN})/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*))"
    rf"(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?"
)
_WHOLE_TAG: Final = re.compile(_TAG)
_HEX_ID: Final = re.compile(r"[0-9a-f]{64}")
_DIGEST_LENGTHS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}


class Reference(msgspec.Struct, frozen=True):
    """A complete name: the domain and the path are never empty, tag and digest may be."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Domain and path: "docker.io/library/busybox"."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The name as people write it: "busybox"."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        path = self.path.removeprefix(_OFFICIAL)
        return self.path if "/" in path else path

    @property
    def familiar(self) -> str:
        """The whole reference as people write it: "busybox:latest"."""
        return self.familiar_name + self._suffix

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.name + self._suffix

    def with_default_tag(self) -> "Reference":
        """The same with the tag "latest" where it has neither tag nor digest."""
        return self if self.tag or self.digest else self.with_tag(DEFAULT_TAG)

    def with_tag(self, tag: str) -> "Reference":
        """The name with another tag and no digest. Raises: InvalidArgument."""
        if not _WHOLE_TAG.fullmatch(tag):
            raise InvalidArgument("invalid tag format")
        return Reference(self.domain, self.path, tag)

    def with_digest(self, digest: str) -> "Reference":
        """The name with a digest and no tag. Raises: InvalidArgument."""
        return Reference(self.domain, self.path, digest=checked_digest(digest))


def checked_digest(digest: str) -> str:
    """The digest itself, when it is well-formed and of a known algorithm. Raises: InvalidArgument."""
    algorithm, _, encoded = digest.partition(":")
    length = _DIGEST_LENGTHS.get(algorithm)
    if length is None:
        raise InvalidArgument("unsupported digest algorithm" if encoded else "invalid checksum digest format")
    if len(encoded) != length:
        raise InvalidArgument("invalid checksum digest length")
    if not re.fullmatch(r"[0-9a-f]+", encoded):
        raise InvalidArgument("invalid checksum digest format")
    return digest


def is_hex_id(text: str) -> bool:
    """Whether the text is a whole image id without its "sha256:", which no image may be called."""
    return _HEX_ID.fullmatch(text) is not None


def parse(text: str) -> Reference:
    """A name as people write it, made complete; a tag is not added.

    Raises: InvalidArgument in Docker's words.
    """
    if is_hex_id(text):
        raise InvalidArgument(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    domain, rest = _split_domain(text)
    path = rest.partition(":")[0]
    if path.lower() != path:
        raise InvalidArgument(f"invalid reference format: repository name ({path}) must be lowercase")
    found = _REFERENCE.fullmatch(f"{domain}/{rest}")
    if found is None or found["domain"] is None:
        raise InvalidArgument("invalid reference format")
    if len(found["path"]) > MAX_NAME_LENGTH:
        raise InvalidArgument(f"repository name must not be more than {MAX_NAME_LENGTH} characters")
    digest = found["digest"] or ""
    if digest:
        try:
            checked_digest(digest)
        except InvalidArgument as error:
            raise InvalidArgument(f"invalid reference format: {error}") from error
    return Reference(found["domain"], found["path"], found["tag"] or "", digest)


def parse_parts(repository: str, tag: str) -> Reference:
    """A repository and, apart from it, a tag or digest; an empty tag leaves what the repository says.

    Raises: InvalidArgument in Docker's words.
    """
    reference = parse(repository)
    if not tag:
        return reference
    if ":" in tag:
        return reference.with_digest(tag)
    return reference.with_tag(tag)


def _split_domain(text: str) -> tuple[str, str]:
    """The domain that a name has or means, and the rest: only what looks like a host is a domain."""
    first, slash, rest = text.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first.lower() != first):
        first, rest = DEFAULT_DOMAIN, text
    if first == _LEGACY_DOMAIN:
        first = DEFAULT_DOMAIN
    if first == DEFAULT_DOMAIN and "/" not in rest:
        rest = _OFFICIAL + rest
    return first, rest
