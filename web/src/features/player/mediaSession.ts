/** What the system shows of the showing, and the buttons it offers: lock screens, headphones, media keys. */
import { useEffect } from "react";
import { translate } from "../../i18n";
import { seekBy, STEP_S } from "./keys";
import type { Showing } from "./showing";
import type { PlayerState } from "./state";

export function useMediaSession(showing: Showing, state: PlayerState, next: () => void): void {
  const { session } = state;
  useEffect(() => {
    const media = navigator.mediaSession;
    if (!media || !session) return;
    const text = translate();
    media.metadata = new MediaMetadata({ title: text.localised(session.episode_names) || text.localised(session.names), artist: session.episode_id ? text.localised(session.names) : "Matinee" });
    const handlers: [MediaSessionAction, MediaSessionActionHandler | null][] = [
      ["play", () => void showing.play()],
      ["pause", () => showing.video.pause()],
      ["seekbackward", ({ seekOffset }) => seekBy(showing, -(seekOffset ?? STEP_S))],
      ["seekforward", ({ seekOffset }) => seekBy(showing, seekOffset ?? STEP_S)],
      ["seekto", ({ seekTime }) => void (showing.video.currentTime = seekTime ?? showing.video.currentTime)],
      ["nexttrack", session.next_up ? next : null],
    ];
    const set = (action: MediaSessionAction, handler: MediaSessionActionHandler | null) => {
      try {
        media.setActionHandler(action, handler);
      } catch {
        // A browser that does not know an action offers no button for it.
      }
    };
    handlers.forEach(([action, handler]) => set(action, handler));
    return () => {
      media.metadata = null;
      handlers.forEach(([action]) => set(action, null));
    };
    // `next` is made anew at every draw and leads to the same place for the same session.
  }, [showing, session?.session_id]);
  useEffect(() => {
    if (navigator.mediaSession) navigator.mediaSession.playbackState = state.paused ? "paused" : "playing";
  }, [state.paused]);
}
