"""The encoding of dead letters and of redelivered facts: the same bytes on every engine."""

from __future__ import annotations

import msgspec

from matinee.events.api import DeadLetter, Entry
from matinee.events.ports import StoredDeadLetter
from matinee.kit import log

_log = log.get()


class RedeliveredLetter(DeadLetter, frozen=True, kw_only=True):
    """A dead letter whose fact is delivered to its consumer again."""

    redelivered: bool = msgspec.field(name="again", default=True)


class ParsedLetter(StoredDeadLetter, frozen=True, kw_only=True):
    """A stored letter, and whether it was redelivered since."""

    redelivered: bool


class _FactType(msgspec.Struct):
    type: str


class _RecordHeader(msgspec.Struct):
    fact_id: str
    fact: _FactType


class _EntryHeader(msgspec.Struct):
    record: _RecordHeader


class _LetterHeader(msgspec.Struct):
    """The fields of a letter that do not depend on its fact."""

    consumer: str
    entry: _EntryHeader
    redelivered: bool = msgspec.field(name="again", default=False)


_decoder = msgspec.json.Decoder(DeadLetter)
_header_decoder = msgspec.json.Decoder(_LetterHeader)


def to_redelivered(letter: DeadLetter) -> RedeliveredLetter:
    """Return a letter marked as redelivered."""
    return RedeliveredLetter(**msgspec.structs.asdict(letter))


def parse_letter(data: bytes) -> ParsedLetter | None:
    """Return a stored letter; None, with a warning, for data that is not a letter."""
    try:
        header = _header_decoder.decode(data)
    except msgspec.MsgspecError as error:
        _log.warning("events.unreadable", offset="dead letters", error=str(error))
        return None
    record, letter = header.entry.record, _decode(data)
    return ParsedLetter(
        consumer=header.consumer,
        fact_id=record.fact_id,
        type=record.fact.type,
        letter=letter,
        redelivered=header.redelivered,
    )


def parse_redelivered(data: bytes, consumer: str) -> Entry | None:
    """Return the entry that is redelivered to a consumer; None for another consumer's and for an unknown fact."""
    parsed = parse_letter(data)
    if parsed is None or not parsed.redelivered or parsed.consumer != consumer:
        return None
    if parsed.letter is None:
        _log.warning("events.unreadable", offset="dead letters", fact_id=parsed.fact_id, type=parsed.type)
        return None
    return msgspec.structs.replace(parsed.letter.entry, earlier_tries=parsed.letter.tries)


def _decode(data: bytes) -> DeadLetter | None:
    """Return the letter, or None if this version does not know its fact."""
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError:
        return None
