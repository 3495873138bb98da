"""Numbers of the settings with their bounds: a value outside them is refused where the settings are read."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

Port: TypeAlias = Annotated[int, Meta(ge=1, le=65_535)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=1_000)]
# 0 has a meaning of its own, which the setting's description gives.
CountOrZero: TypeAlias = Annotated[int, Meta(ge=0, le=1_000)]
Rate: TypeAlias = Annotated[int, Meta(ge=1, le=10_000_000)]
Bytes: TypeAlias = Annotated[int, Meta(ge=1, le=1 << 60)]
Milliseconds: TypeAlias = Annotated[int, Meta(ge=1, le=86_400_000)]
Seconds: TypeAlias = Annotated[int, Meta(ge=1, le=10 * 366 * 86_400)]
Days: TypeAlias = Annotated[int, Meta(ge=1, le=36_600)]
DaysOrZero: TypeAlias = Annotated[int, Meta(ge=0, le=36_600)]
BitsPerSecond: TypeAlias = Annotated[int, Meta(ge=1, le=10**12)]
