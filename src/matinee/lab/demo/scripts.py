"""What is said in the demo films, timed to the picture."""

from __future__ import annotations

from matinee.lab.demo.reel import Line


def _said(start_s: float, end_s: float, en: str, de: str, **others: str) -> Line:
    return Line(start_s, end_s, {"en": en, "de": de, **others})


SLOW_BOAT = (
    _said(1.6, 4.6, "We left before anyone was awake.", "Wir fuhren los, bevor jemand wach war."),
    _said(5.4, 8.4, "North, I said. Just north.", "Nach Norden, sagte ich.\nEinfach nach Norden."),
    _said(
        9.4,
        13.2,
        "The mountains went past us\nlike people we used to know.",
        "Die Berge zogen an uns vorbei\nwie alte Bekannte.",
    ),
    _said(
        14.2,
        17.8,
        "Nobody is in a hurry\nwho has a whole evening.",
        "Niemand hat es eilig,\nder einen ganzen Abend hat.",
    ),
)

SALT_AND_SILVER = (
    _said(2.0, 5.2, "My father counted the waves.", "Mein Vater zählte die Wellen."),
    _said(
        6.2,
        10.0,
        "He said the seventh\nalways brings something back.",
        "Die siebte, sagte er,\nbringt immer etwas zurück.",
    ),
    _said(11.4, 14.6, "A plank. A glove. A letter, once.", "Ein Brett. Einen Handschuh.\nEinmal einen Brief."),
    _said(
        16.4,
        20.6,
        "I still count.\nI have never told anyone how far I got.",
        "Ich zähle noch immer.\nWie weit, habe ich nie verraten.",
    ),
)

LAST_TRAM = (
    _said(
        1.4,
        4.4,
        "The last tram is never empty.",
        "Die letzte Bahn ist nie leer.",
        fr="Le dernier tram n’est jamais vide.",
    ),
    _said(
        5.4,
        9.2,
        "There is you,\nand there is you in the window.",
        "Da bist du,\nund da bist du im Fenster.",
        fr="Il y a toi,\net il y a toi dans la vitre.",
    ),
    _said(
        10.6,
        14.4,
        "Cinema. Bar. Hotel.\nSomeone always gets off too early.",
        "Kino. Bar. Hotel.\nImmer steigt jemand zu früh aus.",
        fr="Cinéma. Bar. Hôtel.\nQuelqu’un descend toujours trop tôt.",
    ),
    _said(
        16.0,
        19.6,
        "And I ride on, to the end of the line.",
        "Und ich fahre weiter, bis zur Endstation.",
        fr="Et moi, je vais jusqu’au terminus.",
    ),
)

LETTERS = (
    _said(
        0.8,
        5.6,
        "Dear Ines, it rained again today.",
        "Liebe Ines, heute hat es wieder geregnet.",
        fr="Chère Inès, il a encore plu aujourd’hui.",
    ),
    _said(6.4, 10.2, "I meant to write sooner.", "Ich wollte früher schreiben.", fr="Je voulais t’écrire plus tôt."),
    _said(
        11.6,
        15.0,
        "I am fine. No: I miss you.",
        "Mir geht es gut. Nein: Du fehlst mir.",
        fr="Je vais bien. Non : tu me manques.",
    ),
    _said(
        16.2,
        20.4,
        "Every word I did not send\nis still falling somewhere.",
        "Jedes Wort, das ich nicht schickte,\nfällt noch immer irgendwo.",
        fr="Chaque mot que je n’ai pas envoyé\ntombe encore quelque part.",
    ),
    _said(21.8, 24.8, "Yours, still.", "Noch immer: Dein.", fr="À toi, toujours."),
)

WAVES = (
    _said(1.4, 4.2, "One: stones in a pond.", "Eins: Steine in einem Teich."),
    _said(4.8, 7.4, "Where two crests meet, both are right.", "Wo zwei Kämme sich treffen,\nhaben beide recht."),
    _said(9.2, 12.0, "Two: a swell, and another on top of it.", "Zwei: eine Dünung und darauf noch eine."),
    _said(12.6, 15.4, "Nothing travels but the shape.", "Nichts reist, nur die Form."),
    _said(17.2, 20.0, "Three: sand on a drum.", "Drei: Sand auf einer Trommel."),
    _said(20.4, 23.2, "It gathers where nothing moves.", "Er sammelt sich, wo sich nichts bewegt."),
)

PAPER_GARDEN = (
    _said(0.8, 3.4, "First, you need a sun.", "Zuerst braucht man eine Sonne."),
    _said(
        4.4, 7.4, "Then you wait.\nWaiting is the difficult part.", "Dann wartet man.\nDas Warten ist das Schwierige."
    ),
    _said(8.6, 11.4, "Red ones! I did not plant red ones.", "Rote! Ich habe gar keine roten gesät."),
    _said(12.8, 15.6, "The bird only came to have a look.", "Der Vogel wollte nur mal schauen."),
    _said(17.0, 20.4, "And the snail says:\nwhat is the rush?", "Und die Schnecke sagt:\nWozu die Eile?"),
)

_DEEP = (
    (
        1.4,
        4.8,
        "At ten metres, red is gone.",
        "In zehn Metern ist das Rot verschwunden.",
        "水深十メートル。赤は、もうない。",
        "suishin juu meetoru. aka wa, mou nai.",
    ),
    (
        6.4,
        10.2,
        "At two hundred, there is only blue,\nand it does not last.",
        "In zweihundert gibt es nur noch Blau,\nund auch das nicht lange.",
        "二百メートル。青だけが残る。\nそれも、長くはない。",
        "nihyaku meetoru. ao dake ga nokoru. sore mo, nagaku wa nai.",
    ),
    (
        12.0,
        15.6,
        "Down here, nobody waits for the sun.",
        "Hier unten wartet niemand auf die Sonne.",
        "ここでは、誰も太陽を待たない。",
        "koko de wa, dare mo taiyou wo matanai.",
    ),
    (
        17.6,
        21.6,
        "Everyone brings their own light.",
        "Jeder bringt sein eigenes Licht mit.",
        "みんな、自分の光を連れてくる。",
        "minna, jibun no hikari wo tsurete kuru.",
    ),
)
LIGHT_STOPS = tuple(
    Line(start_s, end_s, {"en": en, "de": de, "ja": ja}, {"ja": romaji}) for start_s, end_s, en, de, ja, romaji in _DEEP
)

SMALL_CITIES = (
    _said(1.2, 4.4, "A light with two neighbours stays.", "Ein Licht mit zwei Nachbarn bleibt."),
    _said(5.6, 9.0, "With four, it leaves.\nToo many people.", "Bei vieren geht es.\nZu viel Gedränge."),
    _said(
        10.4,
        14.0,
        "Where three meet around a dark place,\na new one begins.",
        "Wo drei um eine dunkle Stelle stehen,\nbeginnt ein neues.",
    ),
    _said(15.4, 18.6, "That is all. The rest is cities.", "Das ist alles. Der Rest sind Städte."),
)

ONE_STREET = (
    _said(1.6, 4.8, "I know this street by its windows.", "Ich kenne diese Straße an ihren Fenstern."),
    _said(6.4, 10.0, "Third floor: she is home early.", "Dritter Stock: Sie ist früh zu Hause."),
    _said(
        12.0,
        15.6,
        "The baker has put his light out.\nGood night, baker.",
        "Der Bäcker hat das Licht gelöscht.\nGute Nacht, Bäcker.",
    ),
    _said(
        18.4,
        23.0,
        "They have never seen me.\nI have never been lonely here.",
        "Gesehen hat mich hier niemand.\nEinsam war ich hier nie.",
    ),
)

RAIN = (
    _said(1.4, 4.8, "Here is the weather for the valley: rain.", "Das Wetter für das Tal: Regen."),
    _said(6.4, 10.2, "It will last until it stops.", "Er dauert, bis er aufhört."),
    _said(
        12.2,
        16.6,
        "Those who have a roof are asked\nto listen to it.",
        "Wer ein Dach hat, wird gebeten,\nihm zuzuhören.",
    ),
)

SNOW = (
    _said(1.4, 5.0, "Snow since four in the morning.", "Schnee seit vier Uhr früh."),
    _said(
        6.6,
        10.6,
        "All roads are closed,\nincluding the one you regret.",
        "Alle Wege sind gesperrt,\nauch der, den du bereust.",
    ),
    _said(
        12.4,
        16.6,
        "Tracks are expected towards evening.\nProbably a fox.",
        "Gegen Abend sind Spuren zu erwarten.\nVermutlich ein Fuchs.",
    ),
)

FOG = (
    _said(1.4, 5.2, "Visibility: as far as the next thought.", "Sichtweite: bis zum nächsten Gedanken."),
    _said(6.8, 10.6, "The deployment has been reported missing.", "Das Haus wurde als vermisst gemeldet."),
    _said(
        12.6,
        16.8,
        "By noon it will have been\nin the same place all along.",
        "Gegen Mittag wird es\ndie ganze Zeit da gewesen sein.",
    ),
)
