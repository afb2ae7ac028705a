"""The name server that a container finds at 127.0.0.11."""

from cais.network.dns.resolver import Names, Resolver

__all__ = ["Names", "Resolver"]
