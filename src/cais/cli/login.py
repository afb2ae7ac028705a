"""`cais login` and `logout`: the user's credentials for a registry."""

from __future__ import annotations

import os

from cais.cli.command import PROGRAM, Command, CommandError, Invocation
from cais.cli.credentials import HUB_KEY, Credentials, Keeper, host_of
from cais.cli.flags import Flag, switch
from cais.cli.output import STDERR, STDIN, STDOUT, err, note, out
from cais.cli.reference import HUB
from cais.client import images
from cais.client.errors import EngineError
from cais.client.http import blocks_of

_UNAUTHORIZED = 401
_HUB_TEXT = (
    "Log in with your Docker ID or email address to push and pull images from Docker Hub. If you don't have a Docker "
    "ID, head over to https://hub.docker.com/ to create one.\n"
    "You can log in with your password or a Personal Access Token (PAT). Using a limited-scope PAT grants better "
    "security and is required for organizations using SSO. Learn more at https://docs.docker.com/go/access-tokens/\n"
)


def _login(call: Invocation) -> int:
    username, password = _given(call)
    address = call.arguments[0] if call.arguments else ""
    server = HUB_KEY if address in {"", HUB, HUB_KEY} else host_of(address)
    keeper = Keeper(call.settings)
    usual_name = ""
    if not username and not password:
        known = _known(keeper, server)
        if known.username and (known.password or known.identity_token):
            err(f"Authenticating with existing credentials... [Username: {known.username}]")
            note(STDERR, f"To login with a different account, run '{PROGRAM} logout' followed by '{PROGRAM} login'")
            err("\n")
            try:
                return _try(call, keeper, known)
            except EngineError as error:
                unauthorized = error.status == _UNAUTHORIZED
                failed = "Stored credentials invalid or expired"
                err(failed if unauthorized else f"Login did not succeed, error: {error}")
            usual_name = known.username
    return _try(call, keeper, _asked(server, username, password, usual_name))


def _given(call: Invocation) -> tuple[str, str]:
    """Name and password as the flags say. Raises CommandError."""
    given = call.flags
    for name in ("username", "password"):
        if name in given.given and not given.text(name):
            raise CommandError(f"{name} is empty")
    username, password = given.text("username"), given.text("password")
    if password and given.on("password-stdin"):
        raise CommandError("conflicting options: cannot specify both --password and --password-stdin")
    if password:
        err("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    if given.on("password-stdin"):
        if not username:
            raise CommandError("the --password-stdin option requires --username to be set")
        typed = b"".join(blocks_of(STDIN)).decode("utf-8", "surrogateescape")
        password = typed.removesuffix("\n").removesuffix("\r")
    return username, password


def _known(keeper: Keeper, server: str) -> Credentials:
    try:
        return keeper.get(server)
    except CommandError:
        return Credentials(server)


def _try(call: Invocation, keeper: Keeper, credentials: Credentials) -> int:
    """Log in, and keep the credentials if that is possible with them."""
    answer = images.log_in(call.engine, {**credentials.as_json(), "serveraddress": credentials.server})
    token = answer.get("IdentityToken", "")
    if token:
        credentials = Credentials(credentials.server, credentials.username, identity_token=token)
    try:
        keeper.store(credentials)
    except CommandError as error:
        raise CommandError(f"Error saving credentials: {error}") from error
    if answer.get("Status"):
        out(answer["Status"])
    return 0


def _asked(server: str, username: str, password: str, usual_name: str) -> Credentials:
    """What is missing is asked for at the terminal. Raises CommandError."""
    username = username.strip()
    if not (username and password.strip()) and not os.isatty(STDIN):
        raise CommandError("Error: Cannot perform an interactive login from a non TTY device")
    if not username:
        if server == HUB_KEY:
            out(_HUB_TEXT)
        username = _prompt(f"Username ({usual_name}): " if usual_name else "Username: ").strip() or usual_name
        if not username:
            raise CommandError("Error: Non-null Username Required")
    if not password.strip():
        if server == HUB_KEY:
            note(
                STDOUT,
                "A Personal Access Token (PAT) can be used instead.\n"
                "To create a PAT, visit https://app.docker.com/settings\n\n",
            )
        password = _secret("Password: ")
        if not password:
            raise CommandError("Error: Password Required")
    return Credentials(server, username, password)


def _prompt(text: str) -> str:
    out(text, end="")
    typed = b""
    while not typed.endswith(b"\n") and (byte := os.read(STDIN, 1)):
        typed += byte
    return typed.decode("utf-8", "surrogateescape").rstrip("\r\n")


def _secret(text: str) -> str:
    """An answer that is not shown while it is typed."""
    import termios  # noqa: PLC0415 -- only here

    saved = termios.tcgetattr(STDIN)
    silent = termios.tcgetattr(STDIN)
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(STDIN, termios.TCSADRAIN, silent)
    try:
        return _prompt(text)
    finally:
        termios.tcsetattr(STDIN, termios.TCSADRAIN, saved)
        out("")


def _logout(call: Invocation) -> int:
    given = call.arguments[0] if call.arguments else ""
    names = [given or HUB_KEY]
    shown = names[0]
    if given:
        shown = host_of(given)
        names = list(dict.fromkeys([given, shown, f"http://{shown}", f"https://{shown}"]))
    out(f"Removing login credentials for {shown}")
    keeper = Keeper(call.settings)
    failures: dict[str, str] = {}
    for name in names:
        try:
            keeper.erase(name)
        except CommandError as error:
            failures[name] = str(error)
    if len(failures) == len(names):
        err("WARNING: could not erase credentials:")
        for name, reason in failures.items():
            err(f"{name}: {reason}")
    return 0


LOGIN = Command(
    "[OPTIONS] [SERVER]",
    "",
    (
        Flag("password", "Password or Personal Access Token (PAT)", "p"),
        switch("password-stdin", "Take the Password or Personal Access Token (PAT) from stdin"),
        Flag("username", "Username", "u"),
    ),
    _login,
    0,
    1,
    completes="registry",
    long_help="Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
)
LOGOUT = Command(
    "[SERVER]",
    "",
    (),
    _logout,
    0,
    1,
    completes="registry",
    long_help="Log out from a registry.\nIf no server is specified, the default is defined by the daemon.",
)
