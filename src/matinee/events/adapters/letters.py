"""Dead letters as they are kept, and handed over once more: the same bytes on every engine."""

from __future__ import annotations

import msgspec

from matinee.events.api import DeadLetter, Entry
from matinee.events.ports import StoredDeadLetter
from matinee.kit import log

_log = log.get()


class Again(DeadLetter, frozen=True, kw_only=True):
    """A dead letter that is handed over to its consumer once more."""

    again: bool = True


class Kept(StoredDeadLetter, frozen=True, kw_only=True):
    """A letter that was kept; `again`: handed over since."""

    again: bool


class _Fact(msgspec.Struct):
    type: str


class _Record(msgspec.Struct):
    fact_id: str
    fact: _Fact


class _Entry(msgspec.Struct):
    record: _Record


class _Outside(msgspec.Struct):
    """What can be read of a letter whatever fact is inside."""

    consumer: str
    entry: _Entry
    again: bool = False


_decoder = msgspec.json.Decoder(DeadLetter)
_outside = msgspec.json.Decoder(_Outside)


def again(letter: DeadLetter) -> Again:
    """A letter as it is handed over."""
    return Again(**msgspec.structs.asdict(letter))


def kept(written: bytes) -> Kept | None:
    """A letter out of what was written; None for what is none."""
    try:
        outside = _outside.decode(written)
    except msgspec.MsgspecError as error:
        _log.warning("events.unreadable", place="dead letters", error=str(error))
        return None
    record, letter = outside.entry.record, _letter(written)
    return Kept(
        consumer=outside.consumer,
        fact_id=record.fact_id,
        type=record.fact.type,
        letter=letter,
        again=outside.again,
    )


def handed_over(written: bytes, consumer: str) -> Entry | None:
    """What a consumer is given once more, counting on; None for what is another's, or is not known here."""
    one = kept(written)
    if one is None or not one.again or one.consumer != consumer:
        return None
    if one.letter is None:
        _log.warning("events.unreadable", place="dead letters", fact_id=one.fact_id, type=one.type)
        return None
    return Entry(place=one.letter.entry.place, record=one.letter.entry.record, tried=one.letter.tries)


def _letter(written: bytes) -> DeadLetter | None:
    """The letter, or None where this version does not know the fact."""
    try:
        return _decoder.decode(written)
    except msgspec.MsgspecError:
        return None
