"""Names of images, as far as a client has to understand them: [REGISTRY/]PATH[:TAG][@DIGEST].

Docker's short names are those of Docker Hub: "busybox" is docker.io/library/busybox.
"""

from __future__ import annotations

HUB = "docker.io"
_HUB_PREFIX = "library/"
_LONGEST_NAME = 255
_LONGEST_TAG = 128
_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_HEX = frozenset("0123456789abcdef")
_DIGESTS = {"sha256": 64, "sha384": 96, "sha512": 128}
_INVALID = "invalid reference format"


class Reference:
    """A name taken apart. Raises ValueError, in Docker's words, when it is not well formed."""

    __slots__ = ("digest", "domain", "path", "tag")

    def __init__(self, text: str) -> None:
        if len(text) == 64 and _HEX.issuperset(text):
            raise ValueError(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
        self.domain, rest = _split_domain(text)
        remote = rest.partition(":")[0]
        if remote != remote.lower():
            raise ValueError(f"{_INVALID}: repository name ({remote}) must be lowercase")
        name, at, self.digest = rest.partition("@")
        self.path, colon, self.tag = name.partition(":")
        good = (
            _is_domain(self.domain)
            and all(map(_is_component, self.path.split("/")))
            and (not colon or _is_tag(self.tag))
        )
        if not good or (at and ":" not in self.digest):
            raise ValueError(_INVALID)
        if at:
            _check_digest(self.digest)
        if len(self.domain) + 1 + len(self.path) > _LONGEST_NAME:
            raise ValueError(f"repository name must not be more than {_LONGEST_NAME} characters")

    @property
    def is_name_only(self) -> bool:
        return not self.tag and not self.digest

    @property
    def familiar_name(self) -> str:
        """The short form of the name, without tag and digest."""
        if self.domain != HUB:
            return f"{self.domain}/{self.path}"
        short = self.path.removeprefix(_HUB_PREFIX)
        return short if "/" not in short else self.path

    def _with_tag(self, name: str) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{name}{tag}{digest}"

    @property
    def familiar(self) -> str:
        return self._with_tag(self.familiar_name)

    @property
    def full(self) -> str:
        return self._with_tag(f"{self.domain}/{self.path}")

    def tagged(self) -> Reference:
        """The same, with the tag "latest" where there is neither tag nor digest."""
        if self.is_name_only:
            self.tag = "latest"
        return self


def is_image_id(text: str) -> bool:
    """Whether this is an image's whole id and not a name."""
    algorithm, colon, digits = text.rpartition(":")
    return len(digits) == 64 and _HEX.issuperset(digits) and (not colon or algorithm == "sha256")


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    is_domain = slash and ("." in first or ":" in first or first == "localhost" or first != first.lower())
    domain, path = (first, rest) if is_domain else (HUB, text)
    if domain == "index.docker.io":
        domain = HUB
    if domain == HUB and "/" not in path:
        path = _HUB_PREFIX + path
    return domain, path


def _is_domain(text: str) -> bool:
    host, colon, port = text.rpartition(":") if text[-1:] != "]" and ":" in text else (text, "", "")
    if colon and not (port.isascii() and port.isdigit()):
        return False
    if host.startswith("["):
        return host.endswith("]") and set(host[1:-1]) <= _HEX | set("ABCDEF:")
    return all(
        part and _WORD.issuperset(part.replace("-", "")) and part[0] != "-" and part[-1] != "-"
        for part in host.split(".")
    )


def _is_component(text: str) -> bool:
    """Lower-case words with one dot, one or two underscores or any number of dashes between them."""
    if not text or text[0] not in _LOWER or text[-1] not in _LOWER:
        return False
    between = "".join("a" if character in _LOWER else character for character in text).split("a")
    return all(gap in {"", ".", "_", "__"} or not gap.strip("-") for gap in between)


def _is_tag(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_TAG and text[0] not in ".-" and _WORD.issuperset(text.translate(_NO_MARKS))


_NO_MARKS = str.maketrans("", "", "._-")


def _check_digest(text: str) -> None:
    algorithm, _, digits = text.partition(":")
    if not algorithm or not digits or len(digits) < 32 or not _HEX.issuperset(digits):
        raise ValueError(_INVALID)
    if algorithm not in _DIGESTS:
        raise ValueError("unsupported digest algorithm")
    if len(digits) != _DIGESTS[algorithm]:
        raise ValueError("invalid checksum digest length")
