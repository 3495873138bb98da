"""Writes the public API's description: `python -m matinee.gateway.server > web/openapi.json`."""

import sys

from matinee.gateway.server import openapi

sys.stdout.buffer.write(openapi.document())
