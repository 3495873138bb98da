"""Calls between services: in this process or over HTTP, found by a registry, limited, retried and measured."""
