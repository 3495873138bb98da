/** What was found, or what there is to find. */
import type { Card, FoundGenre, FoundPerson, FoundTitle, OpenedResult, SearchScreen, TextRange } from "../../api";
import { type Translator, useText } from "../../i18n";
import { Link, paths } from "../../router";
import { CardSkeleton, formatEpisode, TitleCard } from "../../ui/Card";
import { IconButton } from "../../ui/Button";
import { Initials } from "../../ui/Initials";
import { PersonMark } from "../../ui/PersonMark";
import "../../ui/chips.css";
import { splitHighlights } from "./highlights";
import type { Recent } from "./recent";

export function Highlighted({ name, ranges }: { name: string; ranges: TextRange[] }) {
  return <>{splitHighlights(name, ranges).map(({ text, isMarked }, index) => (isMarked ? <mark key={index}>{text}</mark> : text))}</>;
}

/** Return the line below a card if the title was found by something else than the name of the card. */
function renderNote({ card, name, highlights, match, season_number, episode_number }: FoundTitle, text: Translator) {
  const isOther = name !== card.name && match !== null && match !== "about";
  const other = isOther && <Highlighted name={name} ranges={highlights} />;
  if (season_number === null || episode_number === null) return other || undefined;
  return <>{formatEpisode(season_number, episode_number, text)}{other && <> · {other}</>}</>;
}

/** Return what is kept as a recent search when a title is opened: its name, if that is what was searched for. */
const getSubject = ({ name, match }: FoundTitle) => (match === null || match === "about" ? null : name);

/** Called when a result is opened, with what is kept as a recent search if that is not the query. */
type OnOpen = (opened: OpenedResult, subject?: string | null) => void;

interface TitlesProps {
  name: string;
  titles: FoundTitle[];
  onOpen?: OnOpen;
}

export function Titles({ name, titles, onOpen }: TitlesProps) {
  const text = useText();
  if (!titles.length) return null;
  return (
    <section aria-label={name}>
      <h2>{name}</h2>
      <ul className="grid" data-focus="grid" data-testid="search-titles">
        {titles.map((found, index) => (
          <li key={found.card.title_id}>
            <TitleCard
              card={found.card}
              place="search"
              eager={index < 6}
              name={found.name === found.card.name ? <Highlighted name={found.name} ranges={found.highlights} /> : undefined}
              note={renderNote(found, text)}
              onOpen={() => onOpen?.({ kind: "title", id: found.card.title_id, position: index + 1 }, getSubject(found))}
            />
          </li>
        ))}
      </ul>
    </section>
  );
}

/** Titles that viewers open, with or without a search. */
export function Suggestions({ name, place, cards }: { name: string; place: string; cards: Card[] }) {
  if (!cards.length) return null;
  return (
    <section aria-label={name}>
      <h2>{name}</h2>
      <ul className="grid" data-focus="grid" data-testid={`search-${place}`}>
        {cards.map((card, index) => <li key={card.title_id}><TitleCard card={card} place={`search-${place}`} eager={index < 6} /></li>)}
      </ul>
    </section>
  );
}

export function TitlesSkeleton() {
  return <ul className="grid" aria-hidden="true">{Array.from({ length: 12 }, (_, index) => <li key={index}><CardSkeleton /></li>)}</ul>;
}

export function People({ people, onOpen }: { people: FoundPerson[]; onOpen: OnOpen }) {
  const { t } = useText();
  if (!people.length) return null;
  return (
    <section aria-label={t("search.people")}>
      <h2>{t("search.people")}</h2>
      <ul className="search-people">
        {people.map((person, index) => (
          <li key={person.person_id}>
            <Link className="search-person" to={paths.search(person.name)} data-testid="search-person" data-focus-id={`search:${person.person_id}`} onClick={() => onOpen({ kind: "person", id: person.person_id, position: index + 1 }, person.name)}>
              <PersonMark name={person.name} />
              <span>
                <span className="search-person-name"><Highlighted name={person.name} ranges={person.highlights} /></span>
                {person.titles > 0 && <span className="search-person-line">{t("search.titleCount", { count: person.titles })}</span>}
              </span>
            </Link>
          </li>
        ))}
      </ul>
    </section>
  );
}

interface GenresProps {
  genres: FoundGenre[];
  /** All genres, with their names in the viewer's language; a genre may be found by another name. */
  known?: FoundGenre[];
  onOpen?: OnOpen;
}

export function Genres({ genres, known = [], onOpen }: GenresProps) {
  const { t } = useText();
  const getOwnName = (genre: FoundGenre) => known.find((one) => one.genre_id === genre.genre_id)?.name ?? genre.name;
  if (!genres.length) return null;
  return (
    <section className="search-genres" aria-label={t("search.genres")}>
      <h2>{t("search.genres")}</h2>
      <ul className="chips">
        {genres.map((genre, index) => (
          <li key={genre.genre_id}>
            <Link className="chip" to={paths.genre(genre.genre_id)} data-testid="search-genre" data-focus-id={`search:genre-${genre.genre_id}`} onClick={() => onOpen?.({ kind: "genre", id: genre.genre_id, position: index + 1 })}>
              {getOwnName(genre) === genre.name
                ? <span><Highlighted name={genre.name} ranges={genre.highlights} /></span>
                : <>{getOwnName(genre)}<span className="chip-other"><Highlighted name={genre.name} ranges={genre.highlights} /></span></>}
            </Link>
          </li>
        ))}
      </ul>
    </section>
  );
}

export function Alphabet({ initials }: { initials: string[] }) {
  const { t } = useText();
  if (!initials.length) return null;
  return (
    <section aria-label={t("browse.initials")}>
      <h2>{t("browse.initials")}</h2>
      <Initials initials={initials} />
    </section>
  );
}

export function RecentSearches({ recent, remove, clear, onChoose }: Pick<Recent, "recent" | "remove" | "clear"> & { onChoose: (query: string) => void }) {
  const { t } = useText();
  if (!recent.length) return null;
  return (
    <section className="search-recent" aria-label={t("search.recent")}>
      <div className="search-recent-head">
        <h2>{t("search.recent")}</h2>
        <button type="button" className="button quiet" data-testid="recent-clear" onClick={clear}>{t("search.recentClear")}</button>
      </div>
      <ul className="chips">
        {recent.map((query) => (
          <li key={query} className="chip-pair">
            <button type="button" className="chip" data-testid="recent-search" onClick={() => onChoose(query)}>{query}</button>
            <IconButton icon="close" label={t("search.recentRemove", { query })} data-testid="recent-remove" onClick={() => remove(query)} />
          </li>
        ))}
      </ul>
    </section>
  );
}

/** Say in one sentence how many answers there are, for screen readers. */
export function describeCounts({ titles, people, genres, query }: SearchScreen, { t }: Translator): string {
  if (!titles.length && !people.length && !genres.length) return t("search.nothing", { query });
  const counts = [
    titles.length && t("search.titleCount", { count: titles.length }),
    people.length && t("search.personCount", { count: people.length }),
    genres.length && t("search.genreCount", { count: genres.length }),
  ];
  return t("search.found", { counts: counts.filter(Boolean).join(", "), query });
}
