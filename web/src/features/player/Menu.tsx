import { type ReactNode, useEffect, useRef } from "react";
import { focusElement, useBack } from "../../focus";
import { type Translator, useText } from "../../i18n";
import { useLayer } from "../../router";
import { Icon } from "../../ui/icons";
import { findChapter, nameChapter } from "./chapters";
import type { Playback } from "./playback";
import type { Choice, PlayerState } from "./state";
import type { Preferences } from "./preferences";

interface PanelProps {
  label: string;
  onClose: () => void;
  children: ReactNode;
}

/** Return the focus to the control that opened a panel. Until the focus moves on, Space pauses instead of reopening it. */
function returnFocus(opener: Element | null): void {
  if (!(opener instanceof HTMLElement) || !opener.isConnected) return;
  opener.dataset.returned = "";
  opener.addEventListener("blur", () => delete opener.dataset.returned, { once: true });
  focusElement(opener, false);
}

/** A panel above the controls; the back key closes it. */
function Panel({ label, onClose, children }: PanelProps) {
  const ref = useRef<HTMLDivElement>(null);
  useBack(onClose);
  useLayer(onClose);
  useEffect(() => {
    const opener = document.activeElement;
    const chosen = ref.current?.querySelector<HTMLElement>('[aria-checked="true"]') ?? ref.current?.querySelector<HTMLElement>("button");
    if (chosen) focusElement(chosen, false);
    return () => returnFocus(opener);
  }, []);
  return <div ref={ref} className="player-panel" role="dialog" aria-label={label} data-focus-scope data-focus="row">{children}</div>;
}

interface ListProps<T> {
  label: string;
  options: { value: T; label: string }[];
  value: T;
  onChoose: (value: T) => void;
  testId?: string;
}

function List<T extends string | number | null>({ label, options, value, onChoose, testId }: ListProps<T>) {
  return (
    <div className="player-list" role="radiogroup" aria-label={label} data-focus="column" data-testid={testId}>
      <h2>{label}</h2>
      {options.map((option) => (
        <button key={String(option.value)} type="button" role="radio" aria-checked={option.value === value} onClick={() => onChoose(option.value)}>
          <span className="player-check">{option.value === value && <Icon name="check" size="1.1em" />}</span>
          {option.label}
        </button>
      ))}
    </div>
  );
}

/** `English · 5.1 · Audio description`, and the track's own label where several would have this name. */
function getName(choice: Choice, text: Translator, among: Choice[]): string {
  const name = describe(choice, text, among);
  const isUnique = among.every((one) => one.id === choice.id || describe(one, text, among) !== name);
  return isUnique || !choice.label ? name : `${name} · ${choice.label}`;
}

function describe(choice: Choice, text: Translator, among: Choice[]): string {
  const roles: Record<string, string> = { description: text.t("player.description"), commentary: text.t("player.commentary"), caption: text.t("player.caption"), forced: text.t("player.forced") };
  const several = among.filter((one) => one.language === choice.language).length > 1;
  const layout = several && choice.channels ? (choice.channels > 2 ? text.t("player.surround") : choice.channels === 1 ? text.t("player.mono") : text.t("player.stereo")) : null;
  return [text.getLanguageName(choice.language), layout, ...choice.roles.map((role) => roles[role])].filter(Boolean).join(" · ");
}

interface MenuProps {
  playback: Playback;
  state: PlayerState;
  onClose: () => void;
}

export function AudioTextMenu({ playback, state, onClose }: MenuProps) {
  const text = useText();
  const { t } = text;
  const set = (change: Partial<Preferences>) => playback.setPreferences(change);
  const options = <K extends "size" | "colour" | "edge" | "background">(name: K, values: Preferences[K][]) => values.map((value) => ({ value, label: t(`player.${name}.${value}` as "player.size.small") }));
  const on = state.text.find((one) => one.active)?.id ?? null;
  return (
    <Panel label={t("player.audioText")} onClose={onClose}>
      <List label={t("player.audio")} testId="menu-audio" value={state.audio.find((one) => one.active)?.id ?? ""} onChoose={(id) => playback.tracks.selectAudio(id)} options={state.audio.map((one) => ({ value: one.id, label: getName(one, text, state.audio) }))} />
      <List label={t("player.subtitles")} testId="menu-text" value={on} onChoose={(id) => playback.tracks.selectText(id)} options={[{ value: null as string | null, label: t("player.off") }, ...state.text.map((one) => ({ value: one.id as string | null, label: getName(one, text, state.text) }))]} />
      {on !== null && (
        <>
          <div className="player-styles" data-focus="column">
            <List label={t("player.size")} value={state.preferences.size} onChoose={(size) => set({ size })} options={options("size", ["small", "medium", "large"])} />
            <List label={t("player.colour")} value={state.preferences.colour} onChoose={(colour) => set({ colour })} options={options("colour", ["white", "yellow", "cyan"])} />
            <List label={t("player.edge")} value={state.preferences.edge} onChoose={(edge) => set({ edge })} options={options("edge", ["outline", "shadow", "none"])} />
          </div>
          <div className="player-styles" data-focus="column">
            <List label={t("player.background")} value={state.preferences.background} onChoose={(background) => set({ background })} options={options("background", ["soft", "solid", "none"])} />
            <List label={t("player.place")} value={state.preferences.position} onChoose={(position) => set({ position })} options={[{ value: "bottom" as Preferences["position"], label: t("player.place.bottom") }, { value: "top", label: t("player.place.top") }]} />
          </div>
        </>
      )}
    </Panel>
  );
}

/** The list of chapters; a film without any has none. */
function ChapterList({ playback, state }: Omit<MenuProps, "onClose">) {
  const text = useText();
  const chapters = state.session?.chapters ?? [];
  if (!chapters.length) return null;
  const options = chapters.map((one, index) => ({ value: index, label: `${text.formatClock(one.start_ms)}  ${nameChapter(chapters, index, text)}` }));
  const seek = (index: number) => (playback.video.currentTime = (chapters[index]?.start_ms ?? 0) / 1000);
  return <List label={text.t("player.chapters")} testId="menu-chapters" value={findChapter(chapters, state.position * 1000)} onChoose={seek} options={options} />;
}

const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2];

export function SettingsMenu({ playback, state, onClose }: MenuProps) {
  const { t, language } = useText();
  const auto = state.height === null && state.playingHeight ? t("player.autoAt", { quality: `${state.playingHeight}p` }) : t("player.auto");
  const speed = (value: number) => (value === 1 ? t("player.normal") : `${new Intl.NumberFormat(language).format(value)} ×`);
  return (
    <Panel label={t("player.settings")} onClose={onClose}>
      <List label={t("player.quality")} testId="menu-quality" value={state.height} onChoose={(height) => playback.tracks.selectHeight(height)} options={[{ value: null as number | null, label: auto }, ...state.heights.map((height) => ({ value: height as number | null, label: `${height}p` }))]} />
      <ChapterList playback={playback} state={state} />
      <List label={t("player.speed")} testId="menu-speed" value={state.rate} onChoose={(rate) => (playback.video.playbackRate = rate)} options={SPEEDS.map((value) => ({ value, label: speed(value) }))} />
    </Panel>
  );
}
