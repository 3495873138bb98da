"""OpenSearch, one node, from the jars of its server, without the modules of its distribution that Matinee does not use.

HTTP is a module, and OpenSearch wants its class from the module's own folder, not from the class path.
"""

from __future__ import annotations

import contextlib
import json
import urllib.request
from http.client import HTTPException

from matinee.lab.engines.engine import Engine
from matinee.lab.engines.location import EngineLocation
from matinee.lab.engines.sources import Jars

ANSWER_S = 2.0
VERSION = "3.8.0"
_MODULE = "transport-netty4"
_JARS = Jars(
    name="opensearch",
    version=VERSION,
    coordinates=(
        f"org.opensearch:opensearch:{VERSION}",
        f"org.opensearch:opensearch-agent-bootstrap:{VERSION}",
        f"org.opensearch:opensearch-plugin-classloader:{VERSION}",
        f"org.opensearch.plugin:{_MODULE}-client:{VERSION}",
        "org.apache.logging.log4j:log4j-core:2.25.4",
    ),
    javas=(21, 25),
    heap_mb=640,
)
# A disk that is nearly full must not prevent tests, nor must garbage that the heap still has.
_CONFIG = """\
cluster.name: matinee
node.name: one
path.data: {data}
path.logs: {folder}/logs
network.host: {host}
http.port: {client}
transport.port: {transport}
discovery.type: single-node
action.auto_create_index: false
cluster.routing.allocation.disk.threshold_enabled: false
indices.breaker.total.use_real_memory: false
"""
_LOGGING = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{{ISO8601}} %-5p %c{{1.}} %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""
_DESCRIPTOR = f"""\
name={_MODULE}
description=HTTP
version={VERSION}
opensearch.version={VERSION}
java.version=21
classname=org.opensearch.transport.Netty4ModulePlugin
has.native.controller=false
"""
# Without the library JNA, OpenSearch does not refuse to run as root, which tests in containers do.
_PROPERTIES = """
opensearch.path.home={folder}
opensearch.path.conf={folder}/config
opensearch.distribution.type=tar
opensearch.bundled_jdk=false
jna.nosys=true
jna.nounpack=true
java.io.tmpdir={folder}/tmp
"""


def _link_jars(location: EngineLocation) -> None:
    """Link the jar of the module in its folder and all others in `lib`, anew for each start."""
    for jar in _JARS.folder.glob("*.jar"):
        folder = f"modules/{_MODULE}" if jar.name.startswith(_MODULE) else "lib"
        link = location.folder / folder / jar.name
        link.unlink(missing_ok=True)
        link.symlink_to(jar)


def _answers(location: EngineLocation) -> bool:
    url = f"http://{location.client}/_cluster/health?wait_for_status=yellow&timeout=1s"
    with contextlib.suppress(OSError, HTTPException), urllib.request.urlopen(url, timeout=ANSWER_S) as response:
        return not json.load(response)["timed_out"]
    return False


OPENSEARCH = Engine(
    source=_JARS,
    ports=("client", "transport"),
    folders=("config", "lib", "logs", "modules", f"modules/{_MODULE}"),
    files={
        "config/opensearch.yml": _CONFIG,
        "config/log4j2.properties": _LOGGING,
        f"modules/{_MODULE}/plugin-descriptor.properties": _DESCRIPTOR,
    },
    configure=_link_jars,
    start=(
        "java", "--enable-native-access=ALL-UNNAMED", *(f"-D{line}" for line in _PROPERTIES.split()),
        "-cp", "{folder}/lib/*", "org.opensearch.bootstrap.OpenSearch",
    ),
    probe=_answers,
)  # fmt: skip
