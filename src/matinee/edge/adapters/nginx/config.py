"""nginx's configuration, and the program by which it checks links.

What nginx has whole it serves by itself. All else (a miss, a link that is not good, an address that is none, another
method) it passes to the reactor as it came, so that both speak with one voice: heads, problems and refusals are the
reactor's own. The answer's `Cache-Control` says what nginx may keep; the link's token is no part of the cache's key.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import msgspec

from matinee.drivers import nginx
from matinee.edge.api import AddressTooLong, BadRequest, EdgeSettings, HeaderTooLarge, OriginFailed, OutsideFile
from matinee.kit.problem import Problem

_SEGMENT = "[A-Za-z0-9_~+=,@-][A-Za-z0-9._~+=,@-]*"
# A hundred and twenty-eight bytes for each of eight thousand objects in a megabyte, by nginx's manual.
_OBJECTS_A_MB = 8000
_OBJECT_BYTES = 500_000
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")

_REFUSALS = (OriginFailed(), BadRequest(), AddressTooLong(), HeaderTooLarge(), OutsideFile(size_bytes=0))

_GATE = """\
// Made by Matinee at each start. Whether a link's token was minted with one of our keys, for this scope, and is good.
import crypto from 'crypto';
const KEYS = [%s].map(function (hex) { return Buffer.from(hex, 'hex'); });

function same(a, b) {
    var difference = a.length ^ b.length;
    for (var i = 0; i < a.length && i < b.length; i++) { difference |= a.charCodeAt(i) ^ b.charCodeAt(i); }
    return difference === 0;
}

function signature(key, words) {
    var digest = crypto.createHmac('sha256', key).update(words).digest('hex');
    return Buffer.from(digest.slice(0, 32), 'hex').toString('base64url');
}

// One range that is well formed, or none: what else there may be is the reactor's to judge.
function plain(range) {
    if (range === undefined) { return true; }
    var found = /^bytes=([0-9]{0,15})-([0-9]{0,15})$/.exec(range);
    if (found === null || (found[1] === '' && found[2] === '')) { return false; }
    return found[1] === '' || found[2] === '' || parseInt(found[1], 10) <= parseInt(found[2], 10);
}

function good(r) {
    return (r.method === 'GET' || r.method === 'HEAD') && plain(r.headersIn.Range) && opens(r) ? '1' : '';
}

function art(r) {
    return (r.method === 'GET' || r.method === 'HEAD') && plain(r.headersIn.Range) ? '1' : '';
}

function opens(r) {
    var token = r.variables.token, at = token.indexOf('-'), expiry = token.slice(0, at);
    if (!/^[0-9a-f]{1,12}$/.test(expiry) || parseInt(expiry, 16) <= Date.now() / 1000) { return false; }
    var words = expiry + '|' + r.variables.scope, said = token.slice(at + 1);
    return KEYS.some(function (key) { return same(signature(key, words), said); });
}

export default { good, art };
"""

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
  js_path {folder}; js_import gate.js; js_set $link_good gate.good; js_set $art_good gate.art;
  map $upstream_cache_status $is_hit {{ default ''; HIT 1; STALE 1; UPDATING 1; REVALIDATED 1; }}
  log_format hit escape=none '$bytes_sent';
  access_log syslog:server=127.0.0.1:{log_port},nohostname hit if=$is_hit;
  proxy_cache_path {cache} levels=1:2 keys_zone=edge:{zone_mb}m max_size={limit} inactive=365d use_temp_path=off;
  proxy_cache_lock on; proxy_cache_lock_timeout {upstream_s}s; proxy_cache_lock_age {upstream_s}s;
  proxy_cache_use_stale error timeout updating http_500 http_502 http_503 http_504;
  proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host edge;
  proxy_pass_header Server; proxy_next_upstream off; proxy_read_timeout {read_s}s;
  upstream reactor {{ server 127.0.0.1:{filler_port}; keepalive 64; }}
  server {{ listen 127.0.0.1:{status_port}; access_log off; location / {{ stub_status; }} }}
  server {{
    listen {host}:{port}{tls} reuseport backlog=1024; {certificate}
    error_page 405 418 = @reactor; error_page 500 502 504 = /nginx-origin-failed;
    error_page 400 = /nginx-bad-request; error_page 414 = /nginx-address-too-long;
    error_page 494 = /nginx-header-too-large; error_page 416 /nginx-outside-file;
{refusals}
    location ~ "^/t/(?<token>[A-Za-z0-9_-]+)/(?<object>(?<scope>assets/{segment})(?:/{segment})+)$" {{
      if ($request_uri ~ "[%\\\\\\\\]|//|.{{1024}}") {{ return 418; }}
      if ($link_good = '') {{ return 418; }}
      proxy_cache edge; proxy_cache_key $object; proxy_pass http://reactor;
    }}
    location ~ "^/(?<object>art(?:/{segment})+)$" {{
      if ($request_uri ~ "[%\\\\\\\\]|//|.{{1024}}") {{ return 418; }}
      if ($art_good = '') {{ return 418; }}
      proxy_cache edge; proxy_cache_key $object; proxy_pass http://reactor;
    }}
    location @reactor {{ proxy_pass http://reactor; }}
    location / {{ proxy_pass http://reactor; }}
  }}
}}
"""


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """Where nginx listens, for clients and to be asked how many there are; the reactor behind it; who counts hits."""

    public: int
    status: int
    filler: int
    log: int


def write(folder: Path, settings: EdgeSettings, ports: Ports) -> None:
    """Put the configuration into a folder; only its owner may read it, for it holds the keys of links."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys = ", ".join(f"'{key.hex()}'" for key in settings.token_keys)
    for name, text in (("gate.js", _GATE % keys), ("nginx.conf", config(folder, settings, ports))):
        path = folder / name
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)


def config(folder: Path, settings: EdgeSettings, ports: Ports) -> str:
    """The text of `nginx.conf`."""
    zone_mb = max(1, settings.cache_limit_bytes // _OBJECT_BYTES // _OBJECTS_A_MB)
    upstream_s = max(1, round(settings.upstream_timeout_s))
    return _CONFIG.format(
        module=nginx.find_module(nginx.JS_MODULE),
        user=_user(),
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
        certificate=_certificate(settings),
        segment=_SEGMENT,
        refusals="\n".join(_refusal(problem) for problem in _REFUSALS),
    )


def _refusal(problem: Problem) -> str:
    """A place to which nginx turns with what it refuses by itself."""
    said = {name: fact for name, fact in problem.to_document().items() if name != "size_bytes"}  # its header tells that
    document = msgspec.json.encode(said).decode().replace("'", "\\'")
    return (
        f"    location = /nginx-{problem.kind()} {{ internal; default_type application/problem+json; "
        f"add_header Cache-Control no-store always; return {problem.status} '{document}'; }}"
    )


def _user() -> str:
    """Started by root, nginx would give its workers to another user, who may not read what is ours."""
    return f"user {pwd.getpwuid(0).pw_name}; " if os.geteuid() == 0 else ""


def _certificate(settings: EdgeSettings) -> str:
    if not settings.tls_cert:
        return ""
    key = settings.tls_key or settings.tls_cert
    return f"ssl_certificate {settings.tls_cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;"
