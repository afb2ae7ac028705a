"""The errors of Cais, one tree.

    CaisError
    ├── InvalidArgument   what was asked makes no sense
    ├── Unauthorized      credentials are missing or wrong
    ├── Forbidden         understood and refused
    ├── NotFound          the named object does not exist
    ├── Conflict          the object's state or another object stands against it
    ├── NotModified       it is already so; nothing was done
    ├── Unavailable       something outside (a registry, the spawner) does not answer
    │   └── RegistryFailed  a registry cannot be reached, or refuses; Docker does not tell why by its status
    ├── Unsupported       Cais, or this kernel, cannot do it
    └── Internal          a defect, or a host that does not behave

They are raised where the cause is known. A message names the operation and the quoted object, in
Docker's wording where its client or its users rely on it. `cais.api` maps each class to an HTTP status.
"""


class CaisError(Exception):
    """The root: every error that a caller of the engine may expect."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidArgument(CaisError):
    """What was asked makes no sense, whatever the state of the engine."""


class Unauthorized(CaisError):
    """Credentials are missing or wrong."""


class Forbidden(CaisError):
    """The request was understood and is refused."""


class NotFound(CaisError):
    """The named object does not exist."""


class Conflict(CaisError):
    """The state of the object, or another object, stands against the request."""


class NotModified(CaisError):
    """The object is already in the state that was asked for."""


class Unavailable(CaisError):
    """Something that the engine depends on does not answer now."""


class RegistryFailed(Unavailable):
    """A registry cannot be reached, or refuses for a reason that has no class of its own."""


class Unsupported(CaisError):
    """Cais, this kernel or this host cannot do what was asked."""


class Internal(CaisError):
    """A defect, or a host that does not behave as documented."""
