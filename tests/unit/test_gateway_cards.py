"""Cards that are made once for all viewers of a language."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from matinee.catalogue.api import Title
from matinee.gateway.api import Progress
from matinee.gateway.model.presentation import personalise
from matinee.gateway.service.cards import MAX_CARDS, Cards
from matinee.identity.api import Profile
from matinee.kit import ids
from matinee.kit.ids import AccountId, ProfileId, TitleId

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TITLE = Title(
    title_id=TitleId("a"),
    kind="film",
    names={"en": "Night", "de": "Nacht"},
    original_language="en",
    state="published",
    published_at=NOW - timedelta(days=2),
)
PROGRESS = Progress(position_ms=5, duration_ms=10, finished=False)


def viewer(created_at: datetime) -> Profile:
    return Profile(
        profile_id=ids.generate(ProfileId, created_at), account_id=AccountId("a"), name="", avatar="", language="en"
    )


def test_card_is_of_the_language_and_of_the_title_as_it_is_now() -> None:
    cards = Cards()
    assert [cards.get(TITLE, language).name for language in ("en", "de", "en")] == ["Night", "Nacht", "Night"]
    assert cards.get(TITLE, "en") is cards.get(TITLE, "en")
    assert cards.get(replace(TITLE, names={"en": "Day"}), "en").name == "Day"
    assert cards.get(TITLE, "en").name == "Night"


def test_cards_are_limited() -> None:
    cards = Cards()
    first = cards.get(TITLE, "en")
    for number in range(MAX_CARDS):
        cards.get(replace(TITLE, title_id=TitleId(f"{number}")), "en")
    assert cards.get(TITLE, "en") is not first


def test_what_a_card_has_for_one_profile_is_not_on_that_of_another() -> None:
    cards = Cards()
    old, young = viewer(NOW - timedelta(days=90)), viewer(NOW - timedelta(days=2))
    own = personalise(cards.get(TITLE, "en"), TITLE, old, NOW, PROGRESS)
    assert (own.is_new, own.progress) == (True, PROGRESS)
    other = personalise(cards.get(TITLE, "en"), TITLE, young, NOW)
    assert (other.is_new, other.progress) == (False, None)
