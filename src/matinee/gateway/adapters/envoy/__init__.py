"""The proxy as configuration files of Envoy."""

from matinee.gateway.adapters.envoy.proxy import EnvoyProxy

__all__ = ["EnvoyProxy"]
