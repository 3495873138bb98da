"""The page from which devices install the certificate of the local authority."""

from __future__ import annotations

import html

from litestar import Response, get

from matinee.gateway.api.problems import NoSuchPage
from matinee.gateway.server.state import HttpRequest, ServerSettings, get_state

_FILE = "matinee.crt"
_STEPS = {
    "iPhone, iPad": (
        "Tap <b>Get the certificate</b> and allow the profile to be downloaded.",
        "Settings → General → VPN &amp; Device Management → Matinee local authority → Install.",
        "Settings → General → About → Certificate Trust Settings: switch it on.",
    ),
    "Android phone, Google TV": (
        "Tap <b>Get the certificate</b>.",
        "Settings → Security → Encryption &amp; credentials → Install a certificate → CA certificate.",
        "Choose <code>matinee.crt</code> from Downloads.",
    ),
    "Mac": (
        "Open <code>matinee.crt</code>: Keychain Access asks where to; choose <b>login</b>.",
        "Double-click “Matinee local authority”, open Trust, choose <b>Always Trust</b>.",
    ),
    "Windows": (
        "Open <code>matinee.crt</code> → Install Certificate → Current User.",
        "Place it in <b>Trusted Root Certification Authorities</b>.",
    ),
    "Linux, ChromeOS, Firefox": (
        "In the browser's settings, search for <b>certificates</b> → Authorities → Import.",
        "Choose <code>matinee.crt</code> and let it identify websites.",
    ),
    "A TV without such a setting": (
        "Its browser shows a warning when you open the address below; choose to continue.",
        "If it does not offer that, cast from a phone or a computer to the TV instead.",
    ),
}
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Trust this Matinee</title>
<style>
:root {{ color-scheme: dark; font: 17px/1.55 system-ui, sans-serif; background: #14110f; color: #f3ece4 }}
body {{ max-width: 40rem; margin: 0 auto; padding: 2rem 1.25rem 4rem }}
h1 {{ font-size: 1.75rem; line-height: 1.2; margin: 0 0 .5rem }} p {{ color: #cfc4b8 }}
a {{ color: #ffb37a }} a:focus-visible, summary:focus-visible {{ outline: 3px solid #ffb37a; outline-offset: 3px }}
.get {{ display: inline-block; margin: 1rem 0; padding: .8rem 1.4rem; border-radius: .6rem; background: #ff7a33;
  color: #1a0d05; font-weight: 700; text-decoration: none }}
details {{ border-top: 1px solid #3a322c; padding: .75rem 0 }} summary {{ cursor: pointer; font-weight: 600 }}
code {{ overflow-wrap: anywhere; font-size: .85em; background: #241f1b; padding: .1em .35em; border-radius: .3em }}
</style>
<h1>Trust this Matinee</h1>
<p>Matinee runs on a machine in your network and encrypts its connections. No public authority knows it, so each
device needs its certificate once.</p>
<a class="get" href="{file}" download>Get the certificate</a>
{steps}
<p>Before you continue, compare: your device must show this SHA-256 fingerprint, which Matinee printed when it
started.<br><code>{fingerprint}</code></p>
<p>The certificate is valid for names and addresses of local networks only, not for the internet.</p>
<p><a href="{front}">Open Matinee</a></p>
</html>
"""


@get("/trust", include_in_schema=False, media_type="text/html")
async def get_trust_page(request: HttpRequest) -> Response[str]:
    """Return the instructions for each kind of device."""
    settings = _require_authority(request)
    steps = "".join(
        f"<details><summary>{device}</summary><ol>{''.join(f'<li>{step}</li>' for step in instructions)}</ol></details>"
        for device, instructions in _STEPS.items()
    )
    page = _PAGE.format(
        file=f"/trust/{_FILE}",
        steps=steps,
        fingerprint=html.escape(settings.authority_fingerprint),
        front=html.escape(settings.front_url),
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
    return Response(page, headers={"Content-Security-Policy": policy, "Cache-Control": "no-cache"})


@get(f"/trust/{_FILE}", include_in_schema=False)
async def get_authority_certificate(request: HttpRequest) -> Response[bytes]:
    """Return the certificate of the authority, in the format that devices install."""
    return Response(_require_authority(request).authority_der, media_type="application/x-x509-ca-cert")


def _require_authority(request: HttpRequest) -> ServerSettings:
    settings = get_state(request).settings
    if not settings.authority_der:
        raise NoSuchPage
    return settings


HANDLERS = [get_trust_page, get_authority_certificate]
