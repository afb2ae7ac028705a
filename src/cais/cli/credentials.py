"""Credentials for registries, kept where Docker's command keeps them.

    DOCKER_AUTH_CONFIG     {"auths": {REGISTRY: {"auth": …}}}, looked at first and never written
    credHelpers            {REGISTRY: NAME}: the program docker-credential-NAME keeps those of one registry
    credsStore             NAME: the program docker-credential-NAME keeps those of all others
    auths                  {REGISTRY: {"auth": …}} in config.json itself, where no program does: not encrypted

The last three stand in config.json (settings.py). REGISTRY is a host, with its port if any; Docker Hub's is HUB_KEY.
"""

from __future__ import annotations

import binascii
import os

from cais.cli.command import CommandError
from cais.cli.output import err
from cais.cli.reference import HUB
from cais.client.codec import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from cais.cli.settings import Settings

HUB_KEY = "https://index.docker.io/v1/"
_IDENTITY = "<token>"  # the name under which helpers keep an identity token
_NOT_FOUND = "credentials not found in native keychain"
_SECRETS = ("auth", "username", "password", "email", "identitytoken", "registrytoken")
_UNENCRYPTED = """
WARNING! Your credentials are stored unencrypted in '{path}'.
Configure a credential helper to remove this warning. See
https://docs.docker.com/go/credential-store/
"""


class Credentials:
    """What a registry wants to know of its user."""

    __slots__ = ("identity_token", "password", "registry_token", "server", "username")

    def __init__(
        self, server: str, username: str = "", password: str = "", identity_token: str = "", registry_token: str = ""
    ) -> None:
        self.server = server
        self.username = username
        self.password = password
        self.identity_token = identity_token
        self.registry_token = registry_token

    @property
    def is_empty(self) -> bool:
        return not (self.username or self.password or self.identity_token or self.registry_token)

    def as_json(self) -> dict[str, str]:
        """AuthConfig of the Engine API; nothing at all where there is nothing secret."""
        if self.is_empty:
            return {}
        fields = {
            "username": self.username,
            "password": self.password,
            "serveraddress": self.server,
            "identitytoken": self.identity_token,
            "registrytoken": self.registry_token,
        }
        return {name: value for name, value in fields.items() if value}


class Keeper:
    """The credentials that a user has. `settings` say who keeps them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def get(self, server: str) -> Credentials:
        """Those for a registry, empty ones where there are none. Raises CommandError when a helper fails."""
        found = _from_environment().get(server)
        if found is not None:
            return found
        helper = self._helper(server)
        return _ask_helper(helper, server) if helper else self._from_file(server)

    def store(self, credentials: Credentials) -> None:
        """Keep credentials; a user whose are not encrypted is told. Raises CommandError."""
        server = credentials.server
        helper = self._helper(server)
        entry: dict[str, str] = {}
        if helper:
            _tell_helper(helper, credentials)
        else:
            known = self._from_file(server)
            if (known.password, known.identity_token) != (credentials.password, credentials.identity_token):
                err(_UNENCRYPTED.format(path=self._settings.path))
            entry = _encoded(credentials)

        def edit(values: dict[str, Any]) -> None:
            entries = values.get("auths")
            if not isinstance(entries, dict):
                entries = values["auths"] = {}
            before = entries.get(server)
            kept = {name: value for name, value in before.items() if name not in _SECRETS} if before else {}
            entries[server] = kept | entry

        self._change(edit)

    def erase(self, server: str) -> None:
        """Forget those for a registry. Raises CommandError."""
        helper = self._helper(server)
        if helper:
            _run_helper(helper, "erase", server.encode(), "erasing")
        if server in self._settings.table("auths"):
            self._change(lambda values: values["auths"].pop(server, None))

    def servers(self) -> list[str]:
        """The registries that there are credentials for. Raises CommandError when a helper fails."""
        found = {*_from_environment(), *self._settings.table("auths")}
        store = self._default_helper()
        for helper in {store, *self._settings.table("credHelpers").values()} - {""}:
            listed = loads(_run_helper(helper, "list", b"", "listing") or b"{}")
            found.update(listed if isinstance(listed, dict) else ())
        return sorted(found)

    def _change(self, edit: Callable[[dict[str, Any]], None]) -> None:
        try:
            self._settings.change(edit)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise CommandError(f"open {self._settings.path}: {reason}") from error
        except ValueError as error:
            raise CommandError(f"{self._settings.path}: {error}") from error

    def _helper(self, server: str) -> str:
        """The name of the program that keeps those of a registry, "" for none."""
        helper = self._settings.table("credHelpers").get(server)
        return helper if isinstance(helper, str) else self._default_helper()

    def _default_helper(self) -> str:
        settings = self._settings
        name = settings.text("credsStore")
        if name or settings.table("credHelpers") or settings.table("auths"):
            return name
        usual = "pass" if _is_program("pass") else "secretservice"
        return usual if _is_program(f"docker-credential-{usual}") else ""

    def _from_file(self, server: str) -> Credentials:
        entries = self._settings.table("auths")
        entry = entries.get(server)
        if entry is None:  # as some have written them long ago
            entry = next((value for name, value in entries.items() if host_of(name) == server), None)
        if not isinstance(entry, dict):
            return Credentials(server)
        try:
            return _decoded(server, entry)
        except ValueError as error:
            err(f"WARNING: Error parsing config file ({self._settings.path}): {error}")
            return Credentials(server)


def key_of(domain: str) -> str:
    """Under which name the credentials for the registry of an image are kept."""
    return HUB_KEY if domain == HUB else domain


def host_of(address: str) -> str:
    """The host, and port if any, of an address that may also be a URL."""
    for scheme in ("http://", "https://"):
        address = address.removeprefix(scheme)
    return address.partition("/")[0]


def authorization(settings: Settings, domain: str) -> dict[str, str]:
    """The header of the Engine API with the credentials for the registry of an image.

    Credentials that cannot be had are none: the registry may not want any.
    """
    try:
        found = Keeper(settings).get(key_of(domain)).as_json()
    except CommandError:
        found = {}
    return header(found)


def all_authorizations(settings: Settings) -> dict[str, str]:
    """The header with all credentials that a user has, for a build, which may need any; none where there are none."""
    keeper = Keeper(settings)
    found: dict[str, dict[str, str]] = {}
    try:
        for server in keeper.servers():
            if credentials := keeper.get(server).as_json():
                found[server] = credentials
    except CommandError:
        pass
    return {"X-Registry-Config": _base64(found)} if found else {}


def header(credentials: Mapping[str, str]) -> dict[str, str]:
    """X-Registry-Auth: JSON in base64, in the alphabet that is safe in URLs."""
    return {"X-Registry-Auth": _base64(dict(credentials))}


def _base64(value: object) -> str:
    encoded = binascii.b2a_base64(dumps(value), newline=False).decode("ascii")
    return encoded.replace("+", "-").replace("/", "_")


def _encoded(credentials: Credentials) -> dict[str, str]:
    """An entry of `auths`."""
    entry = {}
    if credentials.username or credentials.password:
        text = f"{credentials.username}:{credentials.password}".encode("utf-8", "surrogateescape")
        entry["auth"] = binascii.b2a_base64(text, newline=False).decode("ascii")
    if credentials.identity_token:
        entry["identitytoken"] = credentials.identity_token
    return entry


def _decoded(server: str, entry: Mapping[str, object]) -> Credentials:
    """Raises ValueError."""
    fields = {name: value for name, value in entry.items() if isinstance(value, str)}
    username, password = fields.get("username", ""), fields.get("password", "")
    if encoded := fields.get("auth", ""):
        try:
            text = binascii.a2b_base64(encoded, strict_mode=True).decode()
        except ValueError:
            raise ValueError("illegal base64 data") from None
        username, colon, password = text.partition(":")
        if not colon or not username:
            raise ValueError("invalid auth configuration file")
        password = password.strip("\0")
    return Credentials(server, username, password, fields.get("identitytoken", ""), fields.get("registrytoken", ""))


def _from_environment() -> dict[str, Credentials]:
    text = os.environ.get("DOCKER_AUTH_CONFIG", "")
    if not text:
        return {}
    try:
        entries = loads(text).get("auths", {})
        return {server: _decoded(server, entry) for server, entry in entries.items()}
    except (ValueError, AttributeError) as error:
        err(f"Failed to create credential store from DOCKER_AUTH_CONFIG: {error}")
        return {}


def _is_program(name: str) -> bool:
    return any(os.access(os.path.join(folder, name), os.X_OK) for folder in os.environ.get("PATH", "").split(":"))


def _ask_helper(helper: str, server: str) -> Credentials:
    try:
        found = loads(_run_helper(helper, "get", server.encode(), "getting"))
    except _NothingKept:
        return Credentials(server)
    except ValueError as error:
        raise CommandError(f"error getting credentials - err: {error}") from None
    fields = found if isinstance(found, dict) else {}
    username, secret = (str(fields.get(name) or "") for name in ("Username", "Secret"))
    if username == _IDENTITY:
        return Credentials(server, identity_token=secret)
    return Credentials(server, username, secret)


def _tell_helper(helper: str, credentials: Credentials) -> None:
    username, secret = credentials.username, credentials.password
    if credentials.identity_token:
        username, secret = _IDENTITY, credentials.identity_token
    request = {"ServerURL": credentials.server, "Username": username, "Secret": secret}
    _run_helper(helper, "store", dumps(request), "storing")


class _NothingKept(CommandError):
    """The helper has nothing for that registry."""


def _run_helper(helper: str, action: str, request: bytes, words: str) -> bytes:
    """What the program answers. Raises CommandError, with `words` for what it was about."""
    import subprocess  # noqa: PLC0415 -- only for users who have a helper

    program = f"docker-credential-{helper}"
    failed = f"error {words} credentials - err: "
    if "/" in helper:
        raise CommandError(f"{failed}{program!r} is not the name of a program")
    try:
        done = subprocess.run([program, action], input=request, stdout=subprocess.PIPE, check=False)
    except FileNotFoundError:
        raise CommandError(f'{failed}exec: "{program}": executable file not found in $PATH, out: ``') from None
    except OSError as error:
        raise CommandError(f'{failed}exec: "{program}": {(error.strerror or str(error)).lower()}') from None
    answer = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode == 0:
        return done.stdout
    if answer == _NOT_FOUND:
        raise _NothingKept(answer)
    raise CommandError(f"{failed}exit status {done.returncode}, out: `{answer}`")
