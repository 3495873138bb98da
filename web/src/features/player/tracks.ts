/** Sound, subtitles and quality: what there is, and what is chosen. */
import type { Store } from "../../ui/store";
import type { Player } from "./shaka";
import type { Choice, PlayerState } from "./state";
import type { Taste } from "./taste";

interface Track {
  language: string;
  label: string | null;
  roles: string[];
  active: boolean;
  channelsCount?: number | null;
}

const idOf = (track: Track) => [track.language, track.roles.join("+"), track.channelsCount ?? "", track.label ?? ""].join("|");

const choiceOf = (track: Track): Choice => ({
  id: idOf(track), language: track.language, label: track.label, roles: track.roles, channels: track.channelsCount ?? null, active: track.active,
});

/** Tracks that a viewer cannot tell apart are one choice. */
function distinct(tracks: Track[]): Choice[] {
  const found = new Map<string, Choice>();
  for (const track of tracks) {
    const choice = choiceOf(track);
    if (!found.has(choice.id) || choice.active) found.set(choice.id, choice);
  }
  return [...found.values()];
}

const base = (tag: string) => tag.split("-")[0];
const speaks = (track: Track, tag: string) => base(track.language) === base(tag);

export class Tracks {
  constructor(
    private readonly store: Store<PlayerState>,
    private readonly player: () => Player | null,
    private readonly remember: (change: Partial<Taste>) => void,
  ) {}

  /** Looks at what the player has. */
  read(): void {
    const player = this.player();
    if (!player) return;
    const variants = player.getVariantTracks();
    const heights = [...new Set(variants.flatMap((track) => (track.height ? [track.height] : [])))].sort((a, b) => b - a);
    this.store.set({
      audio: distinct(player.getAudioTracks()),
      text: distinct(player.getTextTracks()),
      heights,
      shownHeight: variants.find((track) => track.active)?.height ?? null,
    });
  }

  /** The viewer's usual choice, or else their language. Forced subtitles show whatever is chosen. */
  choose(language: string): void {
    const player = this.player();
    if (!player) return;
    const { taste } = this.store.get();
    const audio = player.getAudioTracks();
    const wanted = audio.find((track) => speaks(track, taste.audio ?? language) && !track.roles.includes("description") && !track.roles.includes("commentary"));
    if (wanted && !wanted.active) player.selectAudioTrack(wanted);
    const text = player.getTextTracks();
    const spoken = wanted?.language ?? audio.find((track) => track.active)?.language ?? language;
    const forced = text.find((track) => track.forced && speaks(track, spoken));
    const subtitles = taste.text === null ? forced : text.find((track) => speaks(track, taste.text ?? ""));
    player.selectTextTrack(subtitles ?? null);
    this.read();
  }

  audio(id: string): void {
    const player = this.player();
    const track = player?.getAudioTracks().find((one) => idOf(one) === id);
    if (!player || !track) return;
    player.selectAudioTrack(track, 1);
    this.remember({ audio: track.language });
    this.read();
  }

  text(id: string | null): void {
    const player = this.player();
    const track = player?.getTextTracks().find((one) => idOf(one) === id) ?? null;
    player?.selectTextTrack(track);
    this.remember({ text: track?.language ?? null });
    this.read();
  }

  /** Subtitles on and off with one key: those of last time, or of the viewer's language. */
  toggleText(language: string): void {
    const { text } = this.store.get();
    if (text.some((one) => one.active)) return this.text(null);
    const next = text.find((one) => base(one.language) === base(language)) ?? text[0];
    if (next) this.text(next.id);
  }

  /** A height for good, or `null` to let the player choose. */
  height(height: number | null): void {
    const player = this.player();
    if (!player) return;
    player.configure("abr.enabled", height === null);
    if (height !== null) {
      const sound = player.getVariantTracks().find((track) => track.active)?.language;
      const same = player.getVariantTracks().filter((track) => track.height === height);
      const best = same.filter((track) => track.language === sound).concat(same).at(0);
      if (best) player.selectVariantTrack(best, true, 2);
    }
    this.store.set({ height });
    this.read();
  }
}
