"""The gateway over HTTP: `routes.build` makes the ASGI application."""
