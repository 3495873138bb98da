"""The page from which devices install the certificate of the local authority."""

from __future__ import annotations

import functools
import html
from pathlib import Path
from string import Template

from litestar import Response, get

from matinee.gateway.api.problems import NoSuchPage
from matinee.gateway.server.state import HttpRequest, ServerSettings, get_state

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


@get("/trust", include_in_schema=False, media_type="text/html")
async def get_trust_page(request: HttpRequest) -> Response[str]:
    """Return the instructions for each kind of device."""
    settings = _require_authority(request)
    page = _load_template().substitute(
        fingerprint=html.escape(settings.authority_fingerprint), front_url=html.escape(settings.front_url)
    )
    return Response(page, headers={"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"})


@get("/trust/matinee.crt", include_in_schema=False)
async def get_authority_certificate(request: HttpRequest) -> Response[bytes]:
    """Return the certificate of the authority, in the format that devices install."""
    return Response(_require_authority(request).authority_der, media_type="application/x-x509-ca-cert")


@functools.cache
def _load_template() -> Template:
    return Template(Path(__file__).with_name("trust.html").read_text())


def _require_authority(request: HttpRequest) -> ServerSettings:
    settings = get_state(request).settings
    if not settings.authority_der:
        raise NoSuchPage
    return settings


HANDLERS = [get_trust_page, get_authority_certificate]
