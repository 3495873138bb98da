"""The front as Envoy's configuration files."""

from matinee.gateway.adapters.envoy.proxy import EnvoyProxy

__all__ = ["EnvoyProxy"]
