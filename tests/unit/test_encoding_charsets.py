"""Detection of the character sets of subtitles."""

import contextlib
import random

import pytest

from matinee.encoding.model.charsets import UndecodableText, decode_text
from matinee.encoding.model.cues import InvalidSubtitles
from matinee.encoding.model.subtitles import read_subtitles

# Six short lines in each language, as the first minute of a film has them.
TEXTS: dict[str, tuple[str, ...]] = {
    "ru": ("Привет", "Улица", "Где ты был вчера вечером?", "Я не знаю, о чём ты говоришь.", "Мы уходим!", "Хорошо."),
    "uk": ("Привіт", "Де ти був учора ввечері?", "Я не знаю, про що ти говориш.", "Її немає вдома, ходімо."),
    "bg": ("Здравей", "Къде беше снощи?", "Не знам за какво говориш.", "Трябва да тръгваме веднага!"),
    "fr": ("Ça va ?", "Où étais-tu hier soir ?", "Je ne sais pas de qui tu parles.", "Très bien, répète-le à ma mère."),
    "de": ("Schöne Grüße", "Wo warst du gestern Abend?", "Ich weiß nicht, wovon du sprichst.", "Übermorgen!"),
    "es": ("¿Qué tal, señor?", "¿Dónde estabas anoche?", "No sé de qué hablas.", "¡Tenemos que irnos ahora mismo!"),
    "en": ("It’s a café", "“Where were you last night?”", "I don’t know what you’re talking about.", "So naïve…"),
    "pl": ("Cześć", "Gdzie byłeś wczoraj wieczorem?", "Nie wiem, o czym mówisz.", "Źle się czuję, żegnaj."),
    "cs": ("Děkuji", "Kde jsi byl včera večer?", "Nevím, o čem to mluvíš.", "Příště se uvidíme, žádný strach."),
    "hu": (
        "Köszönöm szépen",
        "Hol voltál tegnap este?",
        "Nem tudom, miről beszélsz.",
        "Őrült vagy, jól esik a fűszer!",
    ),
    "el": ("Γεια σου", "Πού ήσουν χθες το βράδυ;", "Δεν ξέρω για τι μιλάς.", "Πρέπει να φύγουμε από εδώ αμέσως!"),
    "tr": ("Teşekkür ederim", "Dün gece neredeydin?", "Ne konuştuğunu bilmiyorum.", "Çabuk ışığı söndür!"),
    "he": ("שלום", "איפה היית אתמול בלילה?", "אני לא יודע על מה אתה מדבר.", "אנחנו חייבים ללכת מכאן מיד!"),
    "ar": ("مرحبا", "أين كنت ليلة أمس؟", "لا أعرف عما تتحدث.", "يجب أن نغادر هنا على الفور!"),
    "lt": ("Ačiū", "Kur buvai vakar vakare?", "Nežinau, apie ką tu kalbi.", "Turime išeiti, mūsų draugų nėra!"),
    "th": ("สวัสดี", "เมื่อคืนคุณไปไหนมา", "ฉันไม่รู้ว่าคุณพูดเรื่องอะไร", "เราต้องไปจากที่นี่เดี๋ยวนี้"),
    "ja": (
        "こんにちは",
        "昨日の夜はどこにいたの?",
        "何の話をしているのか分からない。",
        "今すぐここから出ないといけない!",
    ),
    "zh-Hans": ("你好", "你昨天晚上在哪里?", "我不知道你在说什么。", "我们必须马上离开这里!"),
    "zh-Hant": ("你好", "你昨天晚上在哪裡?", "我不知道你在說什麼。", "我們必須馬上離開這裡!"),
    "ko": ("안녕하세요", "어젯밤에 어디 있었어요?", "무슨 말을 하는지 모르겠어요.", "지금 당장 여기서 나가야 해요!"),
}
SETS = {
    "ru": ("cp1251", "koi8-r", "iso8859-5", "cp866", "utf-16-le"),
    "uk": ("cp1251", "koi8-u"),
    "bg": ("cp1251",),
    "fr": ("cp1252", "iso8859-15", "cp850", "mac_roman"),
    "de": ("cp1252", "cp850", "mac_roman", "utf-16-be"),
    "es": ("cp1252",),
    "en": ("cp1252",),
    "pl": ("cp1250", "iso8859-2", "cp852"),
    "cs": ("cp1250", "iso8859-2"),
    "hu": ("cp1250", "iso8859-2"),
    "el": ("cp1253", "iso8859-7"),
    "tr": ("cp1254",),
    "he": ("cp1255", "iso8859-8"),
    "ar": ("cp1256", "iso8859-6"),
    "lt": ("cp1257",),
    "th": ("cp874",),
    "ja": ("shift_jis", "euc_jp", "iso2022_jp", "utf-16-le"),
    "zh-Hans": ("gb2312", "gb18030"),
    "zh-Hant": ("big5",),
    "ko": ("euc_kr", "cp949"),
}
CASES = [(language, charset) for language, charsets in SETS.items() for charset in charsets]


def write(lines: tuple[str, ...]) -> str:
    times = (f"00:00:{n:02},000 --> 00:00:{n:02},900" for n in range(60))
    return "".join(f"{n}\n{time}\n{line}\n\n" for n, (time, line) in enumerate(zip(times, lines, strict=False), 1))


@pytest.mark.parametrize("hint", ["", "und", "en"])
@pytest.mark.parametrize(("language", "charset"), CASES)
def test_a_file_in_another_set_is_read_with_a_right_with_no_and_with_a_wrong_language(
    language: str, charset: str, hint: str
) -> None:
    text = write(TEXTS[language])
    assert decode_text(text.encode(charset), hint or language)[0] == text


@pytest.mark.parametrize(("language", "charset"), CASES)
def test_a_single_line_is_read_rightly_or_not_at_all(language: str, charset: str) -> None:
    for line in TEXTS[language]:
        text = write((line,))
        with contextlib.suppress(UndecodableText):
            assert decode_text(text.encode(charset), language)[0] == text


def test_the_name_of_the_set_is_reported_for_other_than_unicode() -> None:
    text = write(TEXTS["ru"])
    names = {charset: read_subtitles(text.encode(charset), "srt", "ru").charset for charset in SETS["ru"]}
    assert list(names.values()) == ["windows-1251", "KOI8-R", "ISO-8859-5", "cp-866", "UTF-16-LE"]
    assert [read_subtitles(text.encode(name), "srt").charset for name in ("utf-8", "utf-8-sig", "utf-16")] == [""] * 3
    assert read_subtitles(write(TEXTS["ja"]).encode("shift_jis"), "srt").charset == "Shift_JIS"


def test_utf_8_with_a_damaged_character_is_refused_with_its_line() -> None:
    data = write(TEXTS["ru"]).encode()
    at = data.index("вчера".encode()) + 1
    with pytest.raises(InvalidSubtitles, match="line 11: a character is damaged"):
        read_subtitles(data[:at] + data[at + 1 :], "srt", "ru")


def test_random_letters_are_no_language() -> None:
    rng = random.Random(1)
    for _ in range(20):
        line = bytes(rng.choice(range(0xA0, 0x100)) for _ in range(200))
        with pytest.raises(InvalidSubtitles, match="not sure"):
            read_subtitles(b"1\n00:00:01,000 --> 00:00:02,000\n" + line, "srt")


def test_four_megabytes_in_another_set_are_read() -> None:
    # In quadratic time this would not end.
    line = "Где ты был вчера вечером? "
    cues = "".join(f"{n}\n00:{n // 60 % 60:02}:{n % 60:02},000 --> 01:00:00,000\n{n} {line}\n\n" for n in range(40_000))
    read = read_subtitles(cues.encode("koi8-r"), "srt")
    assert (len(read.cues), read.charset) == (40_000, "KOI8-R")
