"""nginx's configuration, and the script that checks links.

nginx serves complete cached objects itself. It passes everything else (misses, invalid links, unknown addresses, other
methods) to the built-in server unchanged, so that all headers and problem documents have one source. `Cache-Control`
in the response decides what nginx caches; the token of a link is not part of the cache key.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import msgspec

from matinee.drivers import nginx
from matinee.edge.api import AddressTooLong, BadRequest, EdgeSettings, HeaderTooLarge, OriginFailed, OutsideFile
from matinee.edge.model.addresses import SEGMENT
from matinee.kit.problem import Problem

# From nginx's manual: one megabyte of the zone holds about 8,000 keys.
_OBJECTS_PER_ZONE_MB = 8000
_AVERAGE_OBJECT_BYTES = 500_000
_SCRIPT = Path(__file__).with_name("links.js")
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")

_REFUSALS = (OriginFailed(), BadRequest(), AddressTooLong(), HeaderTooLarge(), OutsideFile(size_bytes=0))

_CONFIG = """\
load_module {module};
{user}daemon off; pid nginx.pid; worker_processes {workers}; worker_shutdown_timeout 10s; worker_rlimit_nofile {files};
error_log error.log warn;
events {{ worker_connections {connections}; multi_accept on; }}
http {{
  server_tokens off; sendfile on; tcp_nopush on; keepalive_requests 100000; reset_timedout_connection on;
  client_header_timeout {header_s}s; keepalive_timeout {idle_s}s; send_timeout {send_s}s;
  client_header_buffer_size 2k; large_client_header_buffers 4 8k; client_max_body_size 64k;
  {temporary}
  js_path {folder}; js_import links.js; js_set $link_valid links.link; js_set $art_valid links.art;
  map $upstream_cache_status $is_hit {{ default ''; HIT 1; STALE 1; UPDATING 1; REVALIDATED 1; }}
  log_format hit escape=none '$bytes_sent';
  access_log syslog:server=127.0.0.1:{log_port},nohostname hit if=$is_hit;
  proxy_cache_path {cache} levels=1:2 keys_zone=edge:{zone_mb}m max_size={limit} inactive=365d use_temp_path=off;
  proxy_cache_lock on; proxy_cache_lock_timeout {upstream_s}s; proxy_cache_lock_age {upstream_s}s;
  proxy_cache_use_stale error timeout updating http_500 http_502 http_503 http_504;
  proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host edge;
  proxy_pass_header Server; proxy_next_upstream off; proxy_read_timeout {read_s}s;
  upstream builtin {{ server 127.0.0.1:{filler_port}; keepalive 64; }}
  server {{ listen 127.0.0.1:{status_port}; access_log off; location / {{ stub_status; }} }}
  server {{
    listen {host}:{port}{tls} reuseport backlog=1024; {certificate}
    error_page 405 418 = @builtin; error_page 500 502 504 = /nginx-origin-failed;
    error_page 400 = /nginx-bad-request; error_page 414 = /nginx-address-too-long;
    error_page 494 = /nginx-header-too-large; error_page 416 /nginx-outside-file;
{refusals}
    location ~ "^/t/(?<token>[A-Za-z0-9_-]+)/(?<object>(?<scope>assets/{segment})(?:/{segment})+)$" {{
      if ($request_uri ~ "[%\\\\\\\\]|//|.{{1024}}") {{ return 418; }}
      if ($link_valid = '') {{ return 418; }}
      proxy_cache edge; proxy_cache_key $object; proxy_pass http://builtin;
    }}
    location ~ "^/(?<object>art(?:/{segment})+)$" {{
      if ($request_uri ~ "[%\\\\\\\\]|//|.{{1024}}") {{ return 418; }}
      if ($art_valid = '') {{ return 418; }}
      proxy_cache edge; proxy_cache_key $object; proxy_pass http://builtin;
    }}
    location @builtin {{ proxy_pass http://builtin; }}
    location / {{ proxy_pass http://builtin; }}
  }}
}}
"""


class NginxPorts(msgspec.Struct, frozen=True, kw_only=True):
    """The ports of nginx (for clients, for its status page), of the built-in server, and of the log of hits."""

    public: int
    status: int
    filler: int
    log: int


def write(folder: Path, settings: EdgeSettings, ports: NginxPorts) -> None:
    """Write the configuration, readable by its owner only because it contains the keys that sign links."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys = [key.hex() for key in settings.token_keys]
    _write_private(folder / "keys.js", f"export default {msgspec.json.encode(keys).decode()};\n")
    _write_private(folder / "links.js", _SCRIPT.read_text())
    _write_private(folder / "nginx.conf", render(folder, settings, ports))


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


def render(folder: Path, settings: EdgeSettings, ports: NginxPorts) -> str:
    """Render `nginx.conf`."""
    zone_mb = max(1, settings.cache_limit_bytes // _AVERAGE_OBJECT_BYTES // _OBJECTS_PER_ZONE_MB)
    upstream_s = max(1, round(settings.upstream_timeout_s))
    return _CONFIG.format(
        module=nginx.find_module(nginx.JS_MODULE),
        user=_user_directive(),
        workers=settings.workers,
        connections=settings.max_connections + 64,
        files=4 * settings.max_connections + 256,
        header_s=max(1, round(settings.header_timeout_s)),
        idle_s=max(1, round(settings.idle_timeout_s)),
        send_s=max(1, round(settings.send_timeout_s)),
        temporary=" ".join(f"{kind}_temp_path {folder}/{kind};" for kind in _TEMPORARY),
        folder=folder,
        status_port=ports.status,
        log_port=ports.log,
        cache=folder / "cache",
        zone_mb=zone_mb,
        limit=settings.cache_limit_bytes,
        upstream_s=upstream_s,
        read_s=3 * upstream_s,
        filler_port=ports.filler,
        host=f"[{settings.host}]" if ":" in settings.host else settings.host,
        port=ports.public,
        tls=" ssl" if settings.tls_cert else "",
        certificate=_certificate_directives(settings),
        segment=SEGMENT,
        refusals="\n".join(_problem_location(problem) for problem in _REFUSALS),
    )


def _problem_location(problem: Problem) -> str:
    """Return the location that answers requests which nginx itself refuses."""
    # The size of the file is only in nginx's Content-Range header.
    facts = {name: fact for name, fact in problem.to_document().items() if name != "size_bytes"}
    document = msgspec.json.encode(facts).decode().replace("'", "\\'")
    return (
        f"    location = /nginx-{problem.kind()} {{ internal; default_type application/problem+json; "
        f"add_header Cache-Control no-store always; return {problem.status} '{document}'; }}"
    )


def _user_directive() -> str:
    # Started by root, nginx would run its workers as another user, who cannot read the cache.
    return f"user {pwd.getpwuid(0).pw_name}; " if os.geteuid() == 0 else ""


def _certificate_directives(settings: EdgeSettings) -> str:
    if not settings.tls_cert:
        return ""
    key = settings.tls_key or settings.tls_cert
    return f"ssl_certificate {settings.tls_cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;"
