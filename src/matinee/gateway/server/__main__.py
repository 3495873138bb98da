"""Writes the description of the public API: `python -m matinee.gateway.server > web/openapi.json`."""

import sys

from matinee.gateway.server.openapi import build_document

sys.stdout.buffer.write(build_document())
