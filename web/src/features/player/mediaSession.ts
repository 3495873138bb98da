/** The Media Session: what the system shows of the playback, and its media keys. */
import { useEffect } from "react";
import { getTranslator } from "../../i18n";
import { seekBy, STEP_S } from "./keys";
import type { Playback } from "./playback";
import type { PlayerState } from "./state";

export function useMediaSession(playback: Playback, state: PlayerState, onNext: () => void): void {
  const { session } = state;
  useEffect(() => {
    const media = navigator.mediaSession;
    if (!media || !session) return;
    const text = getTranslator();
    media.metadata = new MediaMetadata({ title: text.localise(session.episode_names) || text.localise(session.names), artist: session.episode_id ? text.localise(session.names) : "Matinee" });
    const handlers: [MediaSessionAction, MediaSessionActionHandler | null][] = [
      ["play", () => void playback.play()],
      ["pause", () => playback.video.pause()],
      ["seekbackward", ({ seekOffset }) => seekBy(playback, -(seekOffset ?? STEP_S))],
      ["seekforward", ({ seekOffset }) => seekBy(playback, seekOffset ?? STEP_S)],
      ["seekto", ({ seekTime }) => void (playback.video.currentTime = seekTime ?? playback.video.currentTime)],
      ["nexttrack", session.next_up ? onNext : null],
    ];
    const setHandler = (action: MediaSessionAction, handler: MediaSessionActionHandler | null) => {
      try {
        media.setActionHandler(action, handler);
      } catch {
        // The browser does not support the action.
      }
    };
    handlers.forEach(([action, handler]) => setHandler(action, handler));
    return () => {
      media.metadata = null;
      handlers.forEach(([action]) => setHandler(action, null));
    };
    // `onNext` is a new function at each render but does the same for the same session.
  }, [playback, session?.session_id]);
  useEffect(() => {
    if (navigator.mediaSession) navigator.mediaSession.playbackState = state.paused ? "paused" : "playing";
  }, [state.paused]);
}
