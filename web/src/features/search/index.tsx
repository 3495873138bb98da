/** The search page: results as one types, people and genres beside them. */
import { type FormEvent, type RefObject, useEffect, useRef, useState } from "react";
import { api, type OpenedResult, type SearchScreen } from "../../api";
import { useScreen } from "../../api/screens";
import { focusElement, useBack, useInitialFocus } from "../../focus";
import { useText } from "../../i18n";
import { back, go, paths } from "../../router";
import { useViewer } from "../../session";
import { IconButton, Spinner } from "../../ui/Button";
import { ProblemNote } from "../../ui/Field";
import { Icon } from "../../ui/icons";
import { useTitle } from "../../ui/title";
import { Keyboard } from "./Keyboard";
import { useRecent } from "./recent";
import { Alphabet, describeCounts, Genres, People, RecentSearches, Suggestions, Titles, TitlesSkeleton } from "./Results";
import { getQuery, MAX_QUERY_LENGTH } from "./state";
import { useReports } from "./useReports";
import { useSearch, useSlow } from "./useSearch";
import "./search.css";

/** So many people and genres are beside titles. */
const MAX_BESIDE = 6;

const isTelevision = () => document.documentElement.dataset.tv !== undefined;

export default function SearchPage({ query }: { query: string }) {
  const text = useText();
  const { t } = text;
  useTitle(t("search.title"));
  const { profile } = useViewer();
  const isTv = isTelevision();
  const field = useRef<HTMLInputElement>(null);
  const [state, dispatch] = useSearch(query);
  const isSlow = useSlow(state);
  const recent = useRecent(profile?.profile_id ?? "");
  const suggestions = useScreen("search:", () => api.search(""));
  const { screen } = state;
  const hasQuery = getQuery(state.text) !== "";
  const trending = suggestions.data?.trending ?? [];
  const newest = suggestions.data?.titles.filter(({ card }) => !trending.some((one) => one.title_id === card.title_id)) ?? [];
  const reportOpened = useReports(state);
  const open = (opened: OpenedResult, subject?: string | null) => {
    recent.add(subject ?? state.text);
    reportOpened(opened);
  };
  const type = (next: string) => dispatch({ kind: "type", text: next.slice(0, MAX_QUERY_LENGTH) });
  const clear = () => {
    type("");
    if (!isTv) field.current?.focus();
  };

  useBack(() => (hasQuery && document.activeElement === field.current && !isTv ? clear() : back()));
  useSearchFocus(query, screen !== null, field);

  return (
    <main id="main" className="page search" data-focus="column">
      <h1 className="visually-hidden">{t("search.title")}</h1>
      <p className="visually-hidden" role="status" aria-live="polite" data-testid="search-status">{screen && hasQuery && !state.isWaiting && describeCounts(screen, text)}</p>
      <div className="search-frame" data-focus={isTv ? "row" : "column"}>
        <div className="search-side" data-focus="column">
          <SearchField field={field} value={state.text} isSlow={isSlow} isTv={isTv} onType={type} onClear={clear} onSubmit={() => recent.add(state.text)} />
          {isTv && <Keyboard onType={(character) => type(state.text + character)} onErase={() => type([...state.text].slice(0, -1).join(""))} onClear={clear} />}
        </div>
        <div className="search-body" id="search-results" data-focus="grid">
          <div className="search-main">
            <ProblemNote problem={state.problem} onRetry={() => dispatch({ kind: "retry" })} />
            {hasQuery && screen && <Notes screen={screen} onChoose={(correction) => go(paths.search(correction))} />}
            {hasQuery && screen && <Titles name={t("search.titles")} titles={screen.titles} onOpen={open} />}
            {hasQuery && !screen && isSlow && <TitlesSkeleton />}
            {!hasQuery && <RecentSearches {...recent} onChoose={(chosen) => go(paths.search(chosen))} />}
            {(!hasQuery || screen?.titles.length === 0) && <Suggestions name={t("search.trending")} place="trending" cards={trending} />}
            {(!hasQuery || screen?.titles.length === 0) && <Titles name={t("home.new")} titles={newest} />}
          </div>
          <aside className={`search-aside ${hasQuery && screen?.titles.length ? "with-titles" : ""}`} aria-label={t("search.beside")}>
            {hasQuery && screen && <People people={screen.people.slice(0, screen.titles.length ? MAX_BESIDE : undefined)} onOpen={open} />}
            {hasQuery && screen?.genres.length ? <Genres genres={screen.genres.slice(0, MAX_BESIDE)} known={suggestions.data?.genres} onOpen={open} /> : (
              <div className="search-browse">
                <Genres genres={suggestions.data?.genres ?? []} />
                {(!hasQuery || screen?.titles.length === 0) && <Alphabet initials={suggestions.data?.initials ?? []} />}
              </div>
            )}
          </aside>
        </div>
      </div>
    </main>
  );
}

/** Focus the field or, on a television, the first key where there is no query; otherwise what was found. */
function useSearchFocus(query: string, hasResults: boolean, field: RefObject<HTMLInputElement | null>): void {
  const [opened] = useState(query);
  const [ready, setReady] = useState(false);
  useEffect(() => {
    if (hasResults) setReady(true);
  }, [hasResults]);
  useInitialFocus(ready && opened !== "");
  useEffect(() => {
    if (query !== "" || document.activeElement === field.current) return;
    // In the next frame, because the page may be inert below a title page that is being closed.
    const frame = requestAnimationFrame(() => {
      const isOnKey = document.activeElement?.closest(".search-keys");
      const target = isTelevision() ? document.querySelector<HTMLElement>(".search-keys > button") : field.current;
      if (target && !isOnKey) focusElement(target, false);
    });
    return () => cancelAnimationFrame(frame);
  }, [query, field]);
}

interface SearchFieldProps {
  field: RefObject<HTMLInputElement | null>;
  value: string;
  isSlow: boolean;
  isTv: boolean;
  onType: (text: string) => void;
  onClear: () => void;
  onSubmit: () => void;
}

function SearchField({ field, value, isSlow, isTv, onType, onClear, onSubmit }: SearchFieldProps) {
  const { t } = useText();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    onSubmit();
    // Hides the keyboard of a phone, which covers the results.
    if (matchMedia("(pointer: coarse)").matches) field.current?.blur();
  };
  return (
    <form className="search-bar" role="search" data-focus="row" onSubmit={submit}>
      <Icon name="search" />
      {/* The app focuses the field by its id. */}
      <input
        ref={field}
        id="search-field"
        type="search"
        value={value}
        maxLength={MAX_QUERY_LENGTH}
        aria-label={t("search.label")}
        aria-controls="search-results"
        aria-keyshortcuts="/"
        placeholder={t("search.placeholder")}
        inputMode={isTv ? "none" : "search"}
        enterKeyHint="search"
        autoComplete="off"
        autoCapitalize="off"
        autoCorrect="off"
        spellCheck={false}
        data-testid="search-field"
        data-focus-id="search:field"
        onChange={(event) => onType(event.target.value)}
      />
      {isSlow && <span className="search-spinner" role="img" aria-label={t("app.loading")}><Spinner /></span>}
      {value !== "" && !isTv && <IconButton icon="close" label={t("search.clear")} data-testid="search-clear" onClick={onClear} />}
    </form>
  );
}

/** What the viewer should know about the results. */
function Notes({ screen, onChoose }: { screen: SearchScreen; onChoose: (query: string) => void }) {
  const { t } = useText();
  const { correction, partial, query } = screen;
  const isEmpty = !screen.titles.length && !screen.people.length && !screen.genres.length;
  return (
    <>
      {correction && (
        <p className="search-note" data-testid="search-correction">
          {t("search.corrected")} <button type="button" onClick={() => onChoose(correction)}>{correction}</button>{" "}
          <span>{t("search.noMatch", { query })}</span>
        </p>
      )}
      {partial && <p className="search-note" data-testid="search-partial">{t("search.partial")}</p>}
      {isEmpty && <div className="search-nothing" data-testid="search-nothing"><h2>{t("search.nothing", { query })}</h2><p>{t("search.nothingHint")}</p></div>}
    </>
  );
}
