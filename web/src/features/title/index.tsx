/** The title page, an overlay. */
import { useEffect, useRef } from "react";
import { api, type CreditView, type TitleScreen } from "../../api";
import { useDelayed, useScreen } from "../../api/screens";
import { useInitialFocus, useBack, useReturnFocus } from "../../focus";
import { type Translator, useText } from "../../i18n";
import { back, Link, paths } from "../../router";
import { Art } from "../../ui/Art";
import { IconButton } from "../../ui/Button";
import { listFacts, Maturity } from "../../ui/Card";
import { ProblemPage } from "../../ui/Field";
import { PersonMark } from "../../ui/PersonMark";
import { Grid } from "../../ui/Row";
import { useTitle } from "../../ui/title";
import { Actions } from "./Actions";
import { listPeople, type Person } from "./people";
import { Seasons } from "./Seasons";
import "./title.css";

export default function TitlePage({ titleId }: { titleId: string }) {
  const text = useText();
  const panel = useRef<HTMLDivElement>(null);
  const { data, error, reload } = useScreen(`title:${titleId}`, () => api.getTitle(titleId));
  const close = () => back();
  useTitle(data?.card.name);
  useReturnFocus();
  useBack(close);
  useInitialFocus(data !== undefined, true);
  useEffect(() => {
    document.documentElement.classList.add("scroll-locked");
    return () => document.documentElement.classList.remove("scroll-locked");
  }, []);
  useEffect(() => void panel.current?.scrollTo({ top: 0 }), [titleId]);

  return (
    <div className="title-back" ref={panel} onClick={(event) => event.target === event.currentTarget && close()}>
      <div className="title" role="dialog" aria-modal="true" aria-label={data?.card.name ?? text.t("app.loading")} data-focus-scope data-focus="column" data-testid="title-page">
        <IconButton className="title-close" icon="close" label={text.t("app.close")} onClick={close} data-testid="title-close" data-focus-own="" />
        {data ? <Body key={titleId} screen={data} text={text} /> : error ? <ProblemPage problem={error} onRetry={reload} /> : <TitleSkeleton />}
      </div>
    </div>
  );
}

function Body({ screen, text }: { screen: TitleScreen; text: Translator }) {
  const { card } = screen;
  const { t } = text;
  return (
    <>
      <header className="title-head">
        <div className="title-art"><Art picture={card.pictures.backdrop ?? card.pictures.card} name={card.name} eager bare /></div>
        <div className="title-text">
          <h1>{card.name}</h1>
          <p className="title-facts">
            {card.is_new && !card.progress && <span className="title-new">{t("card.new")}</span>}
            <Maturity age={card.maturity} /> {listFacts(card, text, 0).join(" · ")}
          </p>
          <Actions screen={screen} />
        </div>
      </header>
      <div className="title-about">
        <div>
          {card.tagline && <p className="title-tagline">{card.tagline}</p>}
          <p className="title-synopsis">{screen.synopsis}</p>
        </div>
        <dl className="title-facts-list">
          <Fact name={t("title.genres")} show={card.genres.length > 0}>
            {card.genres.map((genre, index) => <span key={genre.genre_id}>{index > 0 && ", "}<Link to={paths.genre(genre.genre_id)}>{genre.name}</Link></span>)}
          </Fact>
          <Searches name={t("title.countries")} words={screen.countries.map(text.getCountryName)} />
          <Searches name={t("title.studios")} words={screen.studios} />
          <Searches name={t("title.franchise")} words={screen.franchise ? [screen.franchise] : []} />
          <Searches name={t("title.moods")} words={screen.moods} />
          <Fact name={t("title.audio")} show={screen.audio_languages.length > 0}>{screen.audio_languages.map(text.getLanguageName).join(", ")}</Fact>
          <Fact name={t("title.subtitles")} show>{screen.subtitle_languages.map(text.getLanguageName).join(", ") || t("title.none")}</Fact>
        </dl>
      </div>
      {screen.seasons.length > 0 && <Seasons screen={screen} />}
      {screen.credits.length > 0 && <Credits credits={screen.credits} text={text} />}
      {screen.more_like_this.length > 0 && (
        <section className="title-section" aria-label={t("title.more")}>
          <h2>{t("title.more")}</h2>
          <Grid place="more" cards={screen.more_like_this} />
        </section>
      )}
    </>
  );
}

function Fact({ name, show, children }: { name: string; show: boolean; children: React.ReactNode }) {
  return show ? <div><dt>{name}</dt><dd>{children}</dd></div> : null;
}

/** Facts of a title; each leads to the search for it. */
function Searches({ name, words }: { name: string; words: string[] }) {
  return (
    <Fact name={name} show={words.length > 0}>
      {words.map((word, index) => <span key={word}>{index > 0 && ", "}<Link to={paths.search(word)} data-testid="fact">{word}</Link></span>)}
    </Fact>
  );
}

function Credits({ credits, text }: { credits: CreditView[]; text: Translator }) {
  const { t } = text;
  const cast = listPeople(credits.filter((credit) => credit.role === "cast"), text);
  const crew = listPeople(credits.filter((credit) => credit.role !== "cast"), text);
  return (
    <section className="title-section" aria-label={t("title.cast")}>
      {cast.length > 0 && <><h2>{t("title.cast")}</h2><People people={cast} /></>}
      {crew.length > 0 && <><h2>{t("title.crew")}</h2><People people={crew} /></>}
    </section>
  );
}

/** The people of a title; each leads to the search for their name. */
function People({ people }: { people: Person[] }) {
  return (
    <ul className="people" data-focus="grid">
      {people.map(({ name, roles }) => (
        <li key={name}>
          <Link className="person" to={paths.search(name)} data-testid="person">
            <PersonMark name={name} />
            <span><span className="person-name">{name}</span><span className="person-role">{roles.join(", ")}</span></span>
          </Link>
        </li>
      ))}
    </ul>
  );
}

function TitleSkeleton() {
  const delayed = useDelayed();
  return (
    <div aria-busy="true" style={{ visibility: delayed ? "visible" : "hidden" }}>
      <header className="title-head"><div className="title-art skeleton" /></header>
      <div className="title-about"><span className="skeleton line" /><span className="skeleton line short" /></div>
    </div>
  );
}
