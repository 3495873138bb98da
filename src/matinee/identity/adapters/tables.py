"""The tables of identity."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, MetaData, String, Table

from matinee.drivers.sql import JsonBytes, UtcTime
from matinee.drivers.sql_outbox import define_outbox_table

metadata = MetaData()
accounts = Table(
    "identity_account",
    metadata,
    Column("account_id", String(40), primary_key=True),
    Column("email", String(254), unique=True),
    Column("password_hash", String(255)),
    Column("created_at", UtcTime),
    Column("status", String(16)),
    Column("roles", JsonBytes(tuple[str, ...])),
)
profiles = Table(
    "identity_profile",
    metadata,
    Column("profile_id", String(40), primary_key=True),
    Column("account_id", String(40), index=True),
    Column("place", Integer),
    Column("name", String(160)),
    Column("avatar", String(64)),
    Column("language", String(40)),
    Column("maturity", Integer),
    Column("kids", Boolean),
    Column("pin_hash", String(255)),
)
devices = Table(
    "identity_device",
    metadata,
    Column("account_id", String(40), primary_key=True),
    Column("device_id", String(40), primary_key=True),
    Column("name", String(160)),
    Column("kind", String(16)),
    Column("last_seen_at", UtcTime, index=True),
)
sign_ins = Table(
    "identity_sign_in",
    metadata,
    Column("sign_in_id", String(40), primary_key=True),
    Column("account_id", String(40)),
    Column("device_id", String(40)),
    Column("handle", LargeBinary),
    Column("live", JsonBytes(tuple[bytes, ...])),
    Column("spent", JsonBytes(tuple[bytes, ...])),
    Column("turned_at", UtcTime),
    Column("expires_at", UtcTime, index=True),
    Column("profile_id", String(40)),
    Column("proved_at", UtcTime),
    Column("proved_for", String(40)),
    Index("identity_sign_in_by_device", "account_id", "device_id"),
)
attempts = Table(
    "identity_tries",
    metadata,
    Column("subject", String(128), primary_key=True),
    Column("count", Integer),
    Column("last_at", UtcTime, index=True),
)
audit = Table(
    "identity_audit",
    metadata,
    Column("entry_id", String(40), primary_key=True),
    Column("at", UtcTime, index=True),
    Column("act", String(40)),
    Column("client", String(64)),
    Column("detail", String(255)),
    Column("actor_id", String(40), index=True),
    Column("account_id", String(40), index=True),
)
outbox = define_outbox_table(metadata, "identity")
