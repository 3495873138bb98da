"""Accounts, profiles, sign-ins and attempt counts in SQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Self, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, delete, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from matinee.drivers.sql import Database
from matinee.drivers.sql_outbox import SqlOutbox
from matinee.events.api import FactRecord
from matinee.identity import model
from matinee.identity.adapters import tables
from matinee.identity.api import Account, Device, DeviceInfo, EmailTaken, LastOperator, Profile
from matinee.identity.model import Attempts, Credentials, SignIn, StoredProfile
from matinee.identity.ports import Member, Profiles, ProfilesChange, SignInChange
from matinee.kit.ids import AccountId, DeviceId, ProfileId, SignInId
from matinee.kit.problem import Forbidden

T = TypeVar("T")
_a, _p, _d, _s, _t = tables.accounts.c, tables.profiles.c, tables.devices.c, tables.sign_ins.c, tables.attempts.c
_ACCOUNT = (_a.account_id, _a.email, _a.created_at, _a.status, _a.roles)
_PROFILE = (_p.profile_id, _p.account_id, _p.name, _p.avatar, _p.language, _p.maturity, _p.kids, _p.pin_hash)
_BY_EMAIL = select(*_ACCOUNT, _a.password_hash).where(_a.email == bindparam("email"))
_BY_ID = select(*_ACCOUNT, _a.password_hash).where(_a.account_id == bindparam("id")).with_for_update()
_SET_ACCOUNT = update(tables.accounts).where(_a.account_id == bindparam("id"))
_MEMBER = (
    select(*_ACCOUNT, *_PROFILE)
    .select_from(tables.accounts)
    .outerjoin(tables.profiles, and_(_p.account_id == _a.account_id, _p.profile_id == bindparam("profile_id")))
    .where(_a.account_id == bindparam("id"))
)
_LOCK_ROLES = (
    select(_a.account_id, _a.roles)
    .where(_a.roles != (), _a.status == "active", _a.account_id != bindparam("id"))
    .order_by(_a.account_id)
    .with_for_update()
)
_LOCK_ACCOUNT = select(_a.account_id).where(_a.account_id == bindparam("id")).with_for_update()
_PROFILES = select(*_PROFILE).where(_p.account_id == bindparam("id")).order_by(_p.place)
_SIGN_IN = select(*_s).where(_s.sign_in_id == bindparam("id"))
_LOCK_SIGN_IN = _SIGN_IN.with_for_update()
_CHANGING = ("live", "spent", "turned_at", "expires_at", "profile_id", "proved_at", "proved_for")
_UPDATE_SIGN_IN = (
    update(tables.sign_ins)
    .where(_s.sign_in_id == bindparam("id"))
    .values({name: bindparam(name) for name in _CHANGING})
)
_UPDATE_DEVICE = (
    update(tables.devices)
    .where(_d.account_id == bindparam("account"), _d.device_id == bindparam("device"))
    .values(last_seen_at=bindparam("now"))
)
_DEVICES = (
    select(
        *(_d.device_id, _d.name, _d.kind, _d.last_seen_at),
        exists()
        .where(_s.account_id == _d.account_id, _s.device_id == _d.device_id, _s.expires_at > bindparam("now"))
        .label("signed_in"),
    )
    .where(_d.account_id == bindparam("id"))
    .order_by(_d.last_seen_at.desc(), _d.device_id)
)
_DEVICE = select(_d.device_id, _d.name, _d.kind).where(
    _d.account_id == bindparam("account"), _d.device_id == bindparam("device")
)
_ATTEMPTS = select(_t.count, _t.last_at).where(_t.subject == bindparam("id"))
# Locks existing rows only: gap locks would make two transactions that add the same subject deadlock.
_LOCK_ATTEMPTS = _ATTEMPTS.with_for_update()


class SqlIdentityStore:
    """Implements `AccountStore`, `SignInStore` and `Throttle`; `outbox` holds the facts to relay."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.outbox = SqlOutbox(database, tables.outbox)

    @classmethod
    async def open(cls, database: Database) -> Self:
        """Open the store and migrate its tables."""
        await database.migrate("matinee.identity.adapters:migrations", "identity")
        return cls(database)

    async def open_account(
        self, *, credentials: Credentials, profile: Profile, records: tuple[FactRecord, ...]
    ) -> None:
        def store(connection: Connection) -> None:
            connection.execute(insert(tables.accounts), _account_row(credentials))
            connection.execute(insert(tables.profiles), _to_profile_row(0, StoredProfile(profile=profile)))
            self._put_facts(connection, records)

        try:
            await self._write(store)
        except IntegrityError as error:
            raise EmailTaken from error

    async def credentials(self, *, email: str) -> Credentials | None:
        row = await self._database.read(lambda c: c.execute(_BY_EMAIL, {"email": email}).one_or_none())
        return _credentials(row) if row else None

    async def change_account(
        self, *, account_id: AccountId, change: Callable[[Credentials], Credentials], keep_role: str = ""
    ) -> Credentials | None:
        def apply(connection: Connection) -> Credentials | None:
            if (row := connection.execute(_BY_ID, {"id": account_id}).one_or_none()) is None:
                return None
            old = _credentials(row)
            new = change(old)
            if keep_role and _has_role(old.account, keep_role) and not _has_role(new.account, keep_role):
                others = connection.execute(_LOCK_ROLES, {"id": account_id}).all()
                if not any(keep_role in roles for _, roles in others):
                    raise LastOperator
            connection.execute(_SET_ACCOUNT.values(_account_row(new)), {"id": account_id})
            return new

        return await self._database.write(apply)

    async def member(self, *, account_id: AccountId, profile_id: ProfileId | None) -> Member | None:
        values = {"id": account_id, "profile_id": profile_id}
        row = await self._database.read_autocommit(lambda c: c.execute(_MEMBER, values).one_or_none())
        return _to_member(row) if row else None

    async def profiles(self, *, account_id: AccountId) -> Profiles:
        return await self._database.read(lambda c: _load_profiles(c, account_id))

    async def change_profiles(self, *, account_id: AccountId, change: Callable[[Profiles], ProfilesChange]) -> None:
        def apply(connection: Connection) -> None:
            if connection.execute(_LOCK_ACCOUNT, {"id": account_id}).one_or_none() is None:
                raise Forbidden
            old = _load_profiles(connection, account_id)
            new = change(old)
            if new.profiles != old:
                connection.execute(delete(tables.profiles).where(_p.account_id == account_id))
                connection.execute(
                    insert(tables.profiles), [_to_profile_row(n, one) for n, one in enumerate(new.profiles)]
                )
            self._put_facts(connection, new.records)

        await self._write(apply)

    async def list_accounts(self, *, query: str, after: tuple[datetime, AccountId] | None, limit: int) -> list[Account]:
        statement = select(*_ACCOUNT).order_by(_a.created_at.desc(), _a.account_id.desc()).limit(limit)
        if query:
            statement = statement.where(_a.email.contains(query, autoescape=True))
        if after:
            at, account_id = after
            older = or_(_a.created_at < at, and_(_a.created_at == at, _a.account_id < account_id))
            statement = statement.where(older)
        return [_account(row) for row in await self._database.read(lambda c: c.execute(statement).all())]

    async def list_closed(self) -> list[AccountId]:
        statement = select(_a.account_id).where(_a.status == "closed")
        return list(await self._database.read(lambda c: c.execute(statement).scalars().all()))

    async def erase_account(
        self, *, account_id: AccountId, to_records: Callable[[Profiles], tuple[FactRecord, ...]]
    ) -> None:
        def erase(connection: Connection) -> None:
            if connection.execute(_LOCK_ACCOUNT, {"id": account_id}).one_or_none() is None:
                return
            records = to_records(_load_profiles(connection, account_id))
            connection.execute(delete(tables.profiles).where(_p.account_id == account_id))
            connection.execute(delete(tables.accounts).where(_a.account_id == account_id))
            self._put_facts(connection, records)

        await self._write(erase)

    async def begin(self, *, sign_in: SignIn, device: Device) -> None:
        def store(connection: Connection) -> None:
            same_device = and_(_d.account_id == sign_in.account_id, _d.device_id == device.device_id)
            fields = {"name": device.name, "kind": device.kind, "last_seen_at": device.last_seen_at}
            if connection.execute(select(_d.device_id).where(same_device)).one_or_none():
                connection.execute(update(tables.devices).where(same_device).values(fields))
            else:
                row = {"account_id": sign_in.account_id, "device_id": device.device_id, **fields}
                connection.execute(insert(tables.devices), row)
            connection.execute(insert(tables.sign_ins), msgspec.structs.asdict(sign_in))

        await self._database.write(store, retry_on_conflict=True)

    async def change(
        self, *, sign_in_id: SignInId, now: datetime, change: Callable[[SignIn], SignInChange]
    ) -> SignInChange | None:
        def apply(connection: Connection) -> SignInChange | None:
            if (row := connection.execute(_LOCK_SIGN_IN, {"id": sign_in_id}).one_or_none()) is None:
                return None
            new = change(SignIn(**row._mapping))
            if new.sign_in is None:
                connection.execute(delete(tables.sign_ins).where(_s.sign_in_id == sign_in_id))
            else:
                _update_sign_in(connection, new.sign_in, now)
            self._put_facts(connection, new.records)
            return new

        result = await self._database.write(apply)
        if result and result.records:
            self.outbox.notify()
        return result

    async def find(self, *, sign_in_id: SignInId) -> SignIn | None:
        row = await self._database.read_autocommit(lambda c: c.execute(_SIGN_IN, {"id": sign_in_id}).one_or_none())
        return SignIn(**row._mapping) if row else None

    async def end(self, *, account_id: AccountId, sign_in_id: SignInId | None = None, record: FactRecord) -> int:
        condition = _s.account_id == account_id
        if sign_in_id is not None:
            condition = and_(condition, _s.sign_in_id == sign_in_id)

        def delete_sign_ins(connection: Connection) -> int:
            if ended := connection.execute(delete(tables.sign_ins).where(condition)).rowcount:
                self._put_facts(connection, (record,))
            return ended

        return await self._write(delete_sign_ins)

    async def devices(self, *, account_id: AccountId, now: datetime) -> list[Device]:
        values = {"id": account_id, "now": now}
        rows = await self._database.read(lambda c: c.execute(_DEVICES, values).all())
        return [
            Device(device_id=DeviceId(row[0]), name=row[1], kind=row[2], last_seen_at=row[3], signed_in=bool(row[4]))
            for row in rows
        ]

    async def find_device(self, *, account_id: AccountId, device_id: DeviceId) -> DeviceInfo | None:
        key = {"account": account_id, "device": device_id}
        row = await self._database.read_autocommit(lambda c: c.execute(_DEVICE, key).one_or_none())
        return DeviceInfo(**row._mapping) if row else None

    async def expire_devices(self, *, before: datetime) -> int:
        return await self._delete(tables.devices, _d.last_seen_at < before)

    async def remove_device(self, *, account_id: AccountId, device_id: DeviceId, record: FactRecord) -> bool:
        def remove(connection: Connection) -> bool:
            connection.execute(delete(tables.sign_ins).where(_s.account_id == account_id, _s.device_id == device_id))
            statement = delete(tables.devices).where(_d.account_id == account_id, _d.device_id == device_id)
            if not connection.execute(statement).rowcount:
                return False
            self._put_facts(connection, (record,))
            return True

        return await self._write(remove)

    async def erase(self, *, account_id: AccountId, record: FactRecord) -> None:
        def remove_all(connection: Connection) -> None:
            if connection.execute(delete(tables.sign_ins).where(_s.account_id == account_id)).rowcount:
                self._put_facts(connection, (record,))
            connection.execute(delete(tables.devices).where(_d.account_id == account_id))

        await self._write(remove_all)

    async def expire(self, *, now: datetime) -> int:
        return await self._delete(tables.sign_ins, _s.expires_at <= now)

    async def attempt(self, *, subjects: tuple[str, ...], now: datetime) -> int:
        def count(connection: Connection) -> int:
            # Sorted, so that transactions lock the same subjects in the same order and cannot deadlock.
            current = {subject: _load_attempts(connection, subject) for subject in sorted(subjects)}
            if wait_ms := max(model.get_wait_ms(subject, attempts, now) for subject, attempts in current.items()):
                return wait_ms
            for subject, attempts in current.items():
                _store_attempts(connection, subject, attempts, model.add_attempt(attempts, now))
            return 0

        return await self._database.write(count, retry_on_conflict=True)

    async def reset(self, *, subjects: tuple[str, ...]) -> None:
        await self._delete(tables.attempts, _t.subject.in_(subjects))

    async def expire_attempts(self, *, before: datetime) -> int:
        return await self._delete(tables.attempts, _t.last_at < before)

    async def _delete(self, table: Table, condition: ColumnElement[bool]) -> int:
        return await self._database.write(lambda c: c.execute(delete(table).where(condition)).rowcount)

    async def _write(self, transaction: Callable[[Connection], T]) -> T:
        result = await self._database.write(transaction)
        self.outbox.notify()
        return result

    def _put_facts(self, connection: Connection, records: tuple[FactRecord, ...]) -> None:
        self.outbox.put(connection, [msgspec.json.encode(record) for record in records])


def _has_role(account: Account, role: str) -> bool:
    return account.status == "active" and role in account.roles


def _account(row: Any) -> Account:
    return Account(account_id=row[0], email=row[1], created_at=row[2], status=row[3], roles=row[4])


def _to_member(row: Any) -> Member:
    profile_columns = row[len(_ACCOUNT) :]
    return Member(account=_account(row), profile=_to_stored_profile(profile_columns) if profile_columns[0] else None)


def _credentials(row: Any) -> Credentials:
    return Credentials(account=_account(row), password_hash=row[len(_ACCOUNT)])


def _account_row(credentials: Credentials) -> dict[str, Any]:
    return {**msgspec.structs.asdict(credentials.account), "password_hash": credentials.password_hash}


def _to_stored_profile(row: Any) -> StoredProfile:
    *fields, pin_hash = row
    names = ("profile_id", "account_id", "name", "avatar", "language", "maturity", "kids")
    profile = Profile(**dict(zip(names, fields, strict=True)), has_pin=pin_hash is not None)
    return StoredProfile(profile=profile, pin_hash=pin_hash)


def _to_profile_row(place: int, stored: StoredProfile) -> dict[str, Any]:
    row = {**msgspec.structs.asdict(stored.profile), "pin_hash": stored.pin_hash, "place": place}
    del row["has_pin"]
    return row


def _load_profiles(connection: Connection, account_id: AccountId) -> Profiles:
    return tuple(_to_stored_profile(row) for row in connection.execute(_PROFILES, {"id": account_id}))


def _update_sign_in(connection: Connection, sign_in: SignIn, now: datetime) -> None:
    values = {"id": sign_in.sign_in_id, **{name: getattr(sign_in, name) for name in _CHANGING}}
    connection.execute(_UPDATE_SIGN_IN, values)
    connection.execute(_UPDATE_DEVICE, {"account": sign_in.account_id, "device": sign_in.device_id, "now": now})


def _load_attempts(connection: Connection, subject: str) -> Attempts | None:
    if connection.execute(_ATTEMPTS, {"id": subject}).one_or_none() is None:
        return None
    row = connection.execute(_LOCK_ATTEMPTS, {"id": subject}).one_or_none()
    return Attempts(count=row[0], last_at=row[1]) if row else None


def _store_attempts(connection: Connection, subject: str, current: Attempts | None, new: Attempts) -> None:
    if current is None:
        connection.execute(insert(tables.attempts), {"subject": subject, "count": new.count, "last_at": new.last_at})
    else:
        statement = update(tables.attempts).where(_t.subject == subject).values(count=new.count, last_at=new.last_at)
        connection.execute(statement)
