"""Play sessions: authorisation, manifests, links and heartbeats."""
