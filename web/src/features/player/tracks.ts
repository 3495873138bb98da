/** The audio tracks, subtitles and qualities, and the selection among them. */
import type { Store } from "../../ui/store";
import type { Player } from "./shaka";
import type { Choice, PlayerState } from "./state";
import type { Preferences } from "./preferences";

interface Track {
  language: string;
  label: string | null;
  roles: string[];
  active: boolean;
  channelsCount?: number | null;
}

const getTrackId = (track: Track) => [track.language, track.roles.join("+"), track.channelsCount ?? "", track.label ?? ""].join("|");

const createChoice = (track: Track): Choice => ({
  id: getTrackId(track), language: track.language, label: track.label, roles: track.roles, channels: track.channelsCount ?? null, active: track.active,
});

/** Merge tracks that a viewer cannot distinguish. */
function mergeTracks(tracks: Track[]): Choice[] {
  const found = new Map<string, Choice>();
  for (const track of tracks) {
    const choice = createChoice(track);
    if (!found.has(choice.id) || choice.active) found.set(choice.id, choice);
  }
  return [...found.values()];
}

const getBaseLanguage = (tag: string) => tag.split("-")[0];
const hasLanguage = (track: Track, tag: string) => getBaseLanguage(track.language) === getBaseLanguage(tag);

export class Tracks {
  constructor(
    private readonly store: Store<PlayerState>,
    private readonly getPlayer: () => Player | null,
    private readonly onChange: (change: Partial<Preferences>) => void,
  ) {}

  /** Read the tracks of the player. */
  update(): void {
    const player = this.getPlayer();
    if (!player) return;
    const variants = player.getVariantTracks();
    const heights = [...new Set(variants.flatMap((track) => (track.height ? [track.height] : [])))].sort((a, b) => b - a);
    this.store.set({
      audio: mergeTracks(player.getAudioTracks()),
      text: mergeTracks(player.getTextTracks()),
      heights,
      playingHeight: variants.find((track) => track.active)?.height ?? null,
    });
  }

  /** Select the preferred tracks, or those in the viewer's language. Forced subtitles are always shown. */
  selectDefaults(language: string): void {
    const player = this.getPlayer();
    if (!player) return;
    const { preferences } = this.store.get();
    const audio = player.getAudioTracks();
    const preferred = audio.find((track) => hasLanguage(track, preferences.audio ?? language) && !track.roles.includes("description") && !track.roles.includes("commentary"));
    if (preferred && !preferred.active) player.selectAudioTrack(preferred);
    const text = player.getTextTracks();
    const spoken = preferred?.language ?? audio.find((track) => track.active)?.language ?? language;
    const forced = text.find((track) => track.forced && hasLanguage(track, spoken));
    const subtitles = preferences.text === null ? forced : text.find((track) => hasLanguage(track, preferences.text ?? ""));
    player.selectTextTrack(subtitles ?? null);
    this.update();
  }

  selectAudio(id: string): void {
    const player = this.getPlayer();
    const track = player?.getAudioTracks().find((one) => getTrackId(one) === id);
    if (!player || !track) return;
    player.selectAudioTrack(track, 1);
    this.onChange({ audio: track.language });
    this.update();
  }

  selectText(id: string | null): void {
    const player = this.getPlayer();
    const track = player?.getTextTracks().find((one) => getTrackId(one) === id) ?? null;
    player?.selectTextTrack(track);
    this.onChange({ text: track?.language ?? null });
    this.update();
  }

  /** Turn subtitles on or off; those in the viewer's language are preferred. */
  toggleText(language: string): void {
    const { text } = this.store.get();
    if (text.some((one) => one.active)) return this.selectText(null);
    const next = text.find((one) => getBaseLanguage(one.language) === getBaseLanguage(language)) ?? text[0];
    if (next) this.selectText(next.id);
  }

  /** Fix the height, or let the player choose for `null`. */
  selectHeight(height: number | null): void {
    const player = this.getPlayer();
    if (!player) return;
    player.configure("abr.enabled", height === null);
    if (height !== null) {
      const language = player.getVariantTracks().find((track) => track.active)?.language;
      const same = player.getVariantTracks().filter((track) => track.height === height);
      const best = same.filter((track) => track.language === language).concat(same).at(0);
      if (best) player.selectVariantTrack(best, true, 2);
    }
    this.store.set({ height });
    this.update();
  }
}
