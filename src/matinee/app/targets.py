"""What a process can host, and which domain needs which: read from the services' constructors."""

from __future__ import annotations

import importlib
from typing import Any, get_type_hints

from matinee.catalogue.api import Catalogue
from matinee.encoding.api import Encoding
from matinee.events.api import Events
from matinee.identity.api import Identity
from matinee.licensing.api import Licensing
from matinee.playback.api import Playback
from matinee.steering.api import Steering
from matinee.viewing.api import Viewing

PROTOCOLS: dict[str, type] = {
    "events": Events,
    "catalogue": Catalogue,
    "identity": Identity,
    "licensing": Licensing,
    "viewing": Viewing,
    "steering": Steering,
    "encoding": Encoding,
    "playback": Playback,
}
DOORS = ("gateway", "edge")
TARGETS = (*PROTOCOLS, *DOORS)

# Where a domain's needs can be read: a constructor or a function that is given them.
_READ_FROM = {
    "events": ["events.service:EventsService"],
    "catalogue": ["catalogue.service:CatalogueService", "events.api:relay_facts"],
    "identity": ["identity.service:IdentityService", "events.api:relay_facts"],
    "licensing": ["licensing.service:LicensingService"],
    "viewing": ["viewing.service:ViewingService", "events.api:relay_facts", "viewing.jobs:forget_removed_profiles"],
    "steering": ["steering.service:SteeringService"],
    "encoding": ["encoding.service:EncodingService", "encoding.jobs:Tools", "events.api:relay_facts"],
    "playback": ["playback.service:PlaybackService", "events.api:relay_facts"],
    "gateway": ["gateway.server:build"],
    "edge": ["edge.jobs:send_heartbeats"],
}


def needs(target: str) -> list[str]:
    """The domains that a target calls, in the order of their floors."""
    wanted = {hint for place in _READ_FROM[target] for hint in _hints(place).values()}
    return [name for name, protocol in PROTOCOLS.items() if protocol in wanted and name != target]


def _hints(place: str) -> dict[str, Any]:
    module, _, name = place.partition(":")
    found = getattr(importlib.import_module(f"matinee.{module}"), name)
    return get_type_hints(vars(found)["__init__"] if isinstance(found, type) else found)
