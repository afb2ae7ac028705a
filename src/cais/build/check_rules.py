"""The names of BuildKit's rules for Dockerfiles, and which of them a file wants."""

import re
from dataclasses import dataclass
from typing import Final

from cais.errors import InvalidArgument
from cais.gotext import FALSE, TRUE, go_quote

DESCRIPTIONS: Final = {
    "StageNameCasing": "Stage names should be lowercase",
    "FromAsCasing": "The 'as' keyword should match the case of the 'from' keyword",
    "NoEmptyContinuation": "Empty continuation lines will become errors in a future release",
    "ConsistentInstructionCasing": (
        "All commands within the Dockerfile should use the same casing (either upper or lower)"
    ),
    "DuplicateStageName": "Stage names should be unique",
    "ReservedStageName": "Reserved words should not be used as stage names",
    "JSONArgsRecommended": (
        "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals"
    ),
    "MaintainerDeprecated": ("The MAINTAINER instruction is deprecated, use a label instead to define an image author"),
    "UndefinedArgInFrom": "FROM command must use declared ARGs",
    "WorkdirRelativePath": (
        "Relative workdir without an absolute workdir declared within the build can have unexpected results "
        "if the base image changes"
    ),
    "UndefinedVar": "Variables should be defined before their use",
    "MultipleInstructionsDisallowed": "Multiple instructions of the same type should not be used in the same stage",
    "LegacyKeyValueFormat": "Legacy key/value format with whitespace separator should not be used",
    "InvalidBaseImagePlatform": "Base image platform does not match expected target platform",
    "RedundantTargetPlatform": (
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior"
    ),
    "SecretsUsedInArgOrEnv": "Sensitive data should not be used in the ARG or ENV commands",
    "InvalidDefaultArgInFrom": "Default value for global ARG results in an empty or invalid base image name",
    "FromPlatformFlagConstDisallowed": "FROM --platform flag should not use a constant value",
    "InvalidDefinitionDescription": (
        "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. "
        "If this is not intended to be a description comment, add an empty line or comment between the instruction "
        "and the comment."
    ),
    "CopyIgnoredFile": "Attempting to Copy file that is excluded by .dockerignore",
    "ExposeProtoCasing": "Protocol in EXPOSE instruction should be lowercase",
    "ExposeInvalidFormat": "IP address and host-port mapping should not be used in EXPOSE instruction",
}
EXPERIMENTAL: Final = frozenset({"CopyIgnoredFile", "InvalidDefinitionDescription"})


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a rule has found. Lines are counted from 1."""

    rule: str
    message: str
    first_line: int
    last_line: int

    @property
    def description(self) -> str:
        return DESCRIPTIONS[self.rule]

    @property
    def url(self) -> str:
        dashed = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", self.rule).lower()
        return f"https://docs.docker.com/go/dockerfile/rule/{dashed}/"


class Options:
    """`# check=skip=RULE,…;error=true;experimental=RULE,…`. Raises: InvalidArgument for anything else."""

    def __init__(self, text: str) -> None:
        known = {"skip": "", "error": "", "experimental": ""}
        for item in filter(None, map(str.strip, text.split(";"))):
            name, equals, value = item.partition("=")
            if not equals or name.strip().lower() not in known:
                raise InvalidArgument(f"invalid check option {go_quote(item)}")
            known[name.strip().lower()] = value.strip()
        self._skipped = _names(known["skip"])
        self._experimental = _names(known["experimental"])
        if known["error"] not in {"", *TRUE, *FALSE}:
            raise InvalidArgument(f"invalid check option {go_quote(known['error'])} of error: not true or false")
        self.is_error = known["error"] in TRUE

    def wants(self, rule: str) -> bool:
        if rule in EXPERIMENTAL:
            return not self._experimental.isdisjoint({"all", rule.lower()})
        return self._skipped.isdisjoint({"all", rule.lower()})


def _names(text: str) -> set[str]:
    return {name.strip().lower() for name in text.split(",")}
