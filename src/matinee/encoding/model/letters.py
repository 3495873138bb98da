"""What the texts of languages look like in the character sets that they were stored in before UTF-8."""

from __future__ import annotations

import math
import unicodedata
from functools import cache

# The character sets of a group of languages, the most usual first.
_WESTERN = ("cp1252", "iso8859-15", "cp850", "mac_roman")
_CENTRAL = ("cp1250", "iso8859-2", "cp852")
_CYRILLIC = ("cp1251", "koi8-r", "iso8859-5", "cp866")
_BALTIC = ("cp1257", "iso8859-13")

# Letters of each language, the most frequent first; of the East Asian languages a hundred of the most frequent.
# fmt: off
_LATIN = {
    "en": ("etaoinshrdlcumwfgypbvkjxqzéèêïöñçàâüóáíôåäøæ", _WESTERN),
    "fr": ("esaitnrulodcpmévqfbghjàxèêyzâçîùkôwûïëüœæÿ", _WESTERN),
    "de": ("enisratdhulcgmobwfkzvüpäßjöyxqéèà", _WESTERN),
    "es": ("eaosrnidlctumpbgvyqóíhfzáéjñxúükwç", _WESTERN),
    "pt": ("aeosrindmutclpvgqhbfzãáéçíójxêâúàõôkywüè", _WESTERN),
    "it": ("eaionlrtscdupmvghfbqzòàèùìéjkwxyîó", _WESTERN),
    "nl": ("enatirodslghvkmubpwjczfyxëéïèöüóáqê", _WESTERN),
    "sv": ("eantrsildomkgväfhupåöbcyjxwzéàüq", _WESTERN),
    "da": ("erndtaislogkmfvubøhpåæyjczxwéqöäüóáôò", _WESTERN),
    "fi": ("aintesloukämvrjhypdögbfcåwzxqšžé", _WESTERN),
    "is": ("arniestuðglmkvhdófíáþöyæbjúpéxýcwzq", _WESTERN),
    "ca": ("easrlitnocumdpvbgqfhàèóéíjòxçzúïyükw", _WESTERN),
    "sq": ("etinarsëhkojumdlpvgqfybçzcxwé", _WESTERN),
    "pl": ("iaeoznrwsyctkdpmułjlgbęąhżśófćńźvxqé", _CENTRAL),
    "cs": ("oeanítvslirdkpuměáhcyjzžbčřšéýůúfgťďňxwqóöü", _CENTRAL),
    "sk": ("aoeinsrtvlkdmcupázhyjbčíšžýéľťúôgfňďäóxĺŕwqö", _CENTRAL),
    "hu": ("eatlnskroizáégmybdvhjöpufócőíúüűxwqä", _CENTRAL),
    "ro": ("eiartnulcsodpmăfvgbîâzhşţjxkywqéö", _CENTRAL),
    "hr": ("aioenjrstukvdmlpgzbčšžhcćfđywxqäöüé", _CENTRAL),
    "sl": ("aeionrstvljpkdmuzbghčšcžfćđxywq", _CENTRAL),
    "tr": ("aeinrlıdkmuytsboüşzgçğhvcöpfjâîûwxqé", ("cp1254", "iso8859-9")),
    "lt": ("iasteruonkmlpvdjgėbyųšūžąčįęzcfhxwq", _BALTIC),
    "lv": ("aisterunkomdlpvzājīgbcūēšņļžģčfķhöé", _BALTIC),
    "et": ("aeistlunkodmrvghjpõäübfšzžcöxyqw", _BALTIC),
}
_OTHER = {
    "ru": ("оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё", _CYRILLIC),
    "uk": ("оанивіертслкумдпяьзбйгчхїцжюєшщфґ", ("cp1251", "koi8-u", "iso8859-5")),
    "be": ("анісеыоркялдтмупзбчьўйцгжшхюэфё", _CYRILLIC),
    "bg": ("аоиетнрсвлкдпмузгъбячщжцшйхюьф", _CYRILLIC),
    "sr": ("аоиенрјстукдвмплзгбшчцњћхжљђфџ", ("cp1251", "iso8859-5")),
    "mk": ("аоиетнсрвдклупмзгбјчшцжќхфњѓљџѕ", ("cp1251", "iso8859-5")),
    "el": ("αοιετσνρπκμυλςωήίόάγδέχθύφβώξζψϊϋΐΰ", ("cp1253", "iso8859-7")),
    "he": ("יוהלאמתרנשבכעדקחםפטגסצןזךףץ", ("cp1255", "iso8859-8")),
    "ar": ("اليمنوترهبعدسفكقحجشأىةصطخذضغئزءثإآؤظًٌٍَُِّْـ", ("cp1256", "iso8859-6")),
    "fa": ("ايینرمدهوتشبسکگلفقخزجعحپچآصطغضذثئژظءكىأؤة", ("cp1256",)),
    "th": ("านรอกเ่งมย้ลวดทสตะิปบีัคหแุจพูชข์ใไโึ็ืำผซถฟณธศษภญฐฉฮๆฆฎฏฒฬฌ", ("cp874",)),
}
_JAPANESE = (
    "いのんたにるてしなかとをはでがっれすこもらまうだりあくきおせそさどよけつちわえめろみばねやひじゃょ、。ーンスイトルクラリアッシドロレコ"
    "タマグフ何私人日今行言見知話出時来子分大事彼前本当後"
)
_CHINESE = (
    "的一是不了在人有我他这個个們们来來上大为為和国國地到以说說时時要就出会會可也你对對生能而子那得着下自之年过過发後作里裡用道行所然家事"
    "成方多么麼去法学如都同现现当沒没动面起看定天分还還进好小些主样心她本前开開因只从想实,。?!什谁吗嗎让她知谢吧"
)
_KOREAN = (
    "이다는을가에의고하지어기사리나도로있한그아서여해니요네자거라게만일정은시내수너우없안야대것들무면구마뭐어제원말인저보오스람주전상알려모왜"
    "했잖겠됐않군까죠습당신정말"
)
_EAST_ASIAN = {
    "ja": (_JAPANESE, ("cp932", "euc_jp")),
    "zh": (_CHINESE, ("gb18030", "cp950")),
    "ko": (_KOREAN, ("cp949",)),
}
# fmt: on
_TYPOGRAPHIC = frozenset("‘’‚“”„…–—«»‹›¿¡°№♪·\u00a0、。「」『』!?,:()～・،؟؛―")
_APOSTROPHES = frozenset("’·")
_SHARE_OF_FREQUENT = 0.6
_DECAY = 0.16
UNKNOWN = -13.8
_PUNCTUATION, _CAPITAL, _CASE, _FOREIGN = -6.0, -0.5, -5.0, -3.3


def list_charsets() -> list[tuple[str, str]]:
    """List every character set with each language that was written in it."""
    tables = (_LATIN, _OTHER, _EAST_ASIAN)
    return [(charset, name) for table in tables for name, (_, charsets) in table.items() for charset in charsets]


def score_word(word: str, language: str, charset: str) -> float:
    """Return the logarithm of how likely a word with characters beyond ASCII is in a language."""
    weights, score = _weigh_letters(language), 0.0
    is_foreign = language not in _LATIN and not any(letter > "\x7f" and letter.isalpha() for letter in word)
    for before, letter, after in zip(" " + word[:-1], word, word[1:] + " ", strict=True):
        small = letter.lower()
        weight = weights.get(small)
        if weight is None:
            if is_foreign and letter < "\x80":
                weight = _FOREIGN
            elif letter in _TYPOGRAPHIC:
                weight = (
                    UNKNOWN if letter not in _APOSTROPHES and before.isalpha() and after.isalpha() else _PUNCTUATION
                )
            else:
                weight = _weigh_other(letter, language, charset)
        elif letter != small:
            # In the wrong set of a script, words begin with a small letter and go on with capitals.
            weight += _CAPITAL + (_CASE if before.islower() else 0.0)
        score += weight
    return score


def is_written(letter: str) -> bool:
    """Return whether a character beyond ASCII is one of letters and punctuation, and no other symbol."""
    return letter in _TYPOGRAPHIC or unicodedata.category(letter)[0] in "LM"


@cache
def _weigh_letters(language: str) -> dict[str, float]:
    if language in _EAST_ASIAN:
        letters = dict.fromkeys(_EAST_ASIAN[language][0])
        return dict.fromkeys(letters, math.log(_SHARE_OF_FREQUENT / len(letters)))
    letters = dict.fromkeys((_LATIN.get(language) or _OTHER[language])[0])
    total = sum(math.exp(-_DECAY * n) for n in range(len(letters)))
    return {letter: -_DECAY * n - math.log(total) for n, letter in enumerate(letters)}


def _weigh_other(letter: str, language: str, charset: str) -> float:
    if language in _EAST_ASIAN and _is_common(letter, language, charset):
        return math.log((1 - _SHARE_OF_FREQUENT) / 2000)
    return UNKNOWN


def _is_common(letter: str, language: str, charset: str) -> bool:
    """Return whether a character is in the part of an East Asian set that holds those in common use."""
    if language == "ja" and "\u3041" <= letter <= "\u30fe":
        return True
    first = letter.encode(charset, "replace")[0]
    if charset == "cp932":
        return 0x88 <= first <= 0x97
    if charset == "cp950":
        return 0xA4 <= first <= 0xC6
    return 0xB0 <= first <= {"euc_jp": 0xCF, "cp949": 0xC8, "gb18030": 0xD7}[charset]
