import { type ReactNode, useEffect, useRef } from "react";
import { useBack } from "../../focus";
import { focusElement } from "../../focus";
import { type Translator, useText } from "../../i18n";
import { Icon } from "../../ui/icons";
import type { Showing } from "./showing";
import type { Choice, PlayerState } from "./state";
import type { Taste } from "./taste";

interface PanelProps {
  label: string;
  close: () => void;
  children: ReactNode;
}

/** A panel above the controls; the back key closes it. */
function Panel({ label, close, children }: PanelProps) {
  const ref = useRef<HTMLDivElement>(null);
  useBack(close);
  useEffect(() => {
    const opener = document.activeElement;
    const chosen = ref.current?.querySelector<HTMLElement>('[aria-checked="true"]') ?? ref.current?.querySelector<HTMLElement>("button");
    if (chosen) focusElement(chosen, false);
    return () => {
      if (opener instanceof HTMLElement && opener.isConnected) focusElement(opener, false);
    };
  }, []);
  return <div ref={ref} className="player-panel" role="dialog" aria-label={label} data-focus-scope data-focus="row">{children}</div>;
}

interface ListProps<T> {
  label: string;
  options: { value: T; label: string }[];
  value: T;
  choose: (value: T) => void;
  testId?: string;
}

function List<T extends string | number | null>({ label, options, value, choose, testId }: ListProps<T>) {
  return (
    <div className="player-list" role="radiogroup" aria-label={label} data-focus="column" data-testid={testId}>
      <h2>{label}</h2>
      {options.map((option) => (
        <button key={String(option.value)} type="button" role="radio" aria-checked={option.value === value} onClick={() => choose(option.value)}>
          <span className="player-check">{option.value === value && <Icon name="check" size="1.1em" />}</span>
          {option.label}
        </button>
      ))}
    </div>
  );
}

/** `English · 5.1 · Audio description`. */
function nameOf(choice: Choice, text: Translator, among: Choice[]): string {
  const roles: Record<string, string> = { description: text.t("player.description"), commentary: text.t("player.commentary"), caption: text.t("player.caption"), forced: text.t("player.forced") };
  const several = among.filter((one) => one.language === choice.language).length > 1;
  const layout = several && choice.channels ? (choice.channels > 2 ? text.t("player.surround") : choice.channels === 1 ? text.t("player.mono") : text.t("player.stereo")) : null;
  return [text.languageName(choice.language), layout, ...choice.roles.map((role) => roles[role])].filter(Boolean).join(" · ");
}

interface MenuProps {
  showing: Showing;
  state: PlayerState;
  close: () => void;
}

export function AudioTextMenu({ showing, state, close }: MenuProps) {
  const text = useText();
  const { t } = text;
  const set = (change: Partial<Taste>) => showing.taste(change);
  const options = <K extends "size" | "colour" | "edge">(name: K, values: Taste[K][]) => values.map((value) => ({ value, label: t(`player.${name}.${value}` as "player.size.small") }));
  const on = state.text.find((one) => one.active)?.id ?? null;
  return (
    <Panel label={t("player.audioText")} close={close}>
      <List label={t("player.audio")} testId="menu-audio" value={state.audio.find((one) => one.active)?.id ?? ""} choose={(id) => showing.tracks.audio(id)} options={state.audio.map((one) => ({ value: one.id, label: nameOf(one, text, state.audio) }))} />
      <List label={t("player.subtitles")} testId="menu-text" value={on} choose={(id) => showing.tracks.text(id)} options={[{ value: null as string | null, label: t("player.off") }, ...state.text.map((one) => ({ value: one.id as string | null, label: nameOf(one, text, state.text) }))]} />
      {on !== null && (
        <>
          <List label={t("player.size")} value={state.taste.size} choose={(size) => set({ size })} options={options("size", ["small", "medium", "large"])} />
          <List label={t("player.colour")} value={state.taste.colour} choose={(colour) => set({ colour })} options={options("colour", ["white", "yellow", "cyan"])} />
          <List label={t("player.edge")} value={state.taste.edge} choose={(edge) => set({ edge })} options={options("edge", ["shadow", "outline", "box"])} />
        </>
      )}
    </Panel>
  );
}

const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2];

export function SettingsMenu({ showing, state, close }: MenuProps) {
  const { t, language } = useText();
  const auto = state.height === null && state.shownHeight ? t("player.autoAt", { quality: `${state.shownHeight}p` }) : t("player.auto");
  const speed = (value: number) => (value === 1 ? t("player.normal") : `${new Intl.NumberFormat(language).format(value)} ×`);
  return (
    <Panel label={t("player.settings")} close={close}>
      <List label={t("player.quality")} testId="menu-quality" value={state.height} choose={(height) => showing.tracks.height(height)} options={[{ value: null as number | null, label: auto }, ...state.heights.map((height) => ({ value: height as number | null, label: `${height}p` }))]} />
      <List label={t("player.speed")} testId="menu-speed" value={state.rate} choose={(rate) => (showing.video.playbackRate = rate)} options={SPEEDS.map((value) => ({ value, label: speed(value) }))} />
    </Panel>
  );
}
