"""The registration of licensing."""

from __future__ import annotations

import msgspec

from matinee.licensing.api import Licensing
from matinee.mesh.hosting.domain import Domain, Wiring


class LicensingSection(msgspec.Struct, frozen=True, kw_only=True):
    """Content keys."""

    store: str = "sqlite:///{data}/licensing.db"


async def _build(wiring: Wiring[LicensingSection]) -> Licensing:
    from matinee.drivers.vault import FileSealer
    from matinee.licensing import jobs
    from matinee.licensing.adapters.sql import SqlKeyVault
    from matinee.licensing.service import LicensingService

    vault = await SqlKeyVault.open(await wiring.database("store"))
    wiring.add_schedule("@every 1h", jobs.delete_expired_revocations, vault, wiring.clock)
    return LicensingService(
        vault=vault,
        sealer=FileSealer.open(wiring.deployment.secrets / "content-keys.kek"),
        token_key=wiring.runtime.secret("licence-tokens.key"),
        clock=wiring.clock,
    )


DOMAIN = Domain(name="licensing", section=LicensingSection, protocol=Licensing, build=_build, store="store")
