/** Icons on a 24-unit grid, in one stroke width with round ends. */
import type { ReactNode } from "react";

const drawLine = (d: string) => <path d={d} fill="none" stroke="currentColor" strokeWidth="2" strokeLinecap="round" strokeLinejoin="round" />;
const drawSolid = (d: string) => <path d={d} fill="currentColor" />;

const drawSkip = (mirrored: boolean) => (
  <>
    <g transform={mirrored ? "matrix(-1 0 0 1 24 0)" : undefined}>
      {drawLine("M12 4.5a8 8 0 1 0 8 8")}
      {drawLine("M12 1.5 15.2 4.6 12 7.6")}
    </g>
    <text x="12" y="15.6" fontSize="7.6" fontWeight="800" textAnchor="middle" fill="currentColor" fontFamily="inherit">10</text>
  </>
);

const ICONS = {
  play: drawSolid("M7 4.2c0-.9 1-1.5 1.8-1L20 10.9c.8.5.8 1.7 0 2.2L8.8 20.8c-.8.5-1.8 0-1.8-1z"),
  pause: <>{drawSolid("M6 3.5h3.6v17H6z")}{drawSolid("M14.4 3.5H18v17h-3.6z")}</>,
  back: drawLine("M20 12H4.5M11 5l-7 7 7 7"),
  left: drawLine("M15 4.5 7.5 12l7.5 7.5"),
  right: drawLine("m9 4.5 7.5 7.5L9 19.5"),
  down: drawLine("m4.5 8.5 7.5 7.5 7.5-7.5"),
  close: drawLine("M5 5l14 14M19 5 5 19"),
  info: <>{drawLine("M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 11v5.5")}{drawLine("M12 7.4v.1")}</>,
  restart: drawLine("M4 5v5h5M4.6 10A8 8 0 1 1 4 13.5"),
  check: drawLine("m4.5 12.5 5 5L19.5 7"),
  plus: drawLine("M12 4.5v15M4.5 12h15"),
  edit: drawLine("m4 20 1-4.5L16 4.5l3.5 3.5-11 11zM14 6.5 17.5 10"),
  trash: drawLine("M4 6.5h16M9 6V4h6v2M6.5 6.5 7.5 20h9l1-13.5M10 10.5v6M14 10.5v6"),
  lock: drawLine("M6 11h12v9H6zM8.5 11V7.5a3.5 3.5 0 0 1 7 0V11"),
  backward: drawSkip(true),
  forward: drawSkip(false),
  volume: <>{drawSolid("M3 9v6h4l5 4.5v-15L7 9z")}{drawLine("M15.5 9a4.2 4.2 0 0 1 0 6M18 6.2a8.2 8.2 0 0 1 0 11.6")}</>,
  quiet: <>{drawSolid("M3 9v6h4l5 4.5v-15L7 9z")}{drawLine("M15.5 9a4.2 4.2 0 0 1 0 6")}</>,
  muted: <>{drawSolid("M3 9v6h4l5 4.5v-15L7 9z")}{drawLine("m16 9.5 5 5M21 9.5l-5 5")}</>,
  captions: <>{drawLine("M3 5h18v14H3z")}{drawLine("M10 10.2a2.3 2.3 0 1 0 0 3.6M17.5 10.2a2.3 2.3 0 1 0 0 3.6")}</>,
  settings: <>{drawLine("M4 7h9M17 7h3M4 17h3M11 17h9")}{drawLine("M15 9.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4zM9 19.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4z")}</>,
  pip: <>{drawLine("M21 11V5H3v14h7")}{drawSolid("M13 13h9v7h-9z")}</>,
  fullscreen: drawLine("M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5"),
  windowed: drawLine("M9 4v5H4M20 9h-5V4M15 20v-5h5M4 15h5v5"),
  next: <>{drawSolid("M4 5.2c0-.8.9-1.3 1.6-.8l9 6.7c.6.4.6 1.3 0 1.8l-9 6.7c-.7.5-1.6 0-1.6-.8z")}{drawSolid("M17 4.5h3v15h-3z")}</>,
  eye: <>{drawLine("M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12z")}{drawLine("M12 14.7a2.7 2.7 0 1 0 0-5.4 2.7 2.7 0 0 0 0 5.4z")}</>,
  hide: <>{drawLine("M4.5 8C3.2 9.7 2.5 12 2.5 12S6 18.5 12 18.500c1.5 0 2.8-.4 4-1M9 6c1-.3 2-.5 3-.5 6 0 9.5 6.5 9.5 6.500s-.8 1.6-2.3 3.200M3 3l18 18")}</>,
  alert: <>{drawLine("M12 3.5 22 20.500H2z")}{drawLine("M12 10v4.500M12 17.400v.1")}</>,
  clock: drawLine("M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5.2l3.4 2"),
  upload: drawLine("M12 16V4M6.5 9.5 12 4l5.5 5.500M4 20h16"),
  user: drawLine("M12 12a4.2 4.2 0 1 0 0-8.4 4.2 4.2 0 0 0 0 8.400zM4 21c.6-4 3.8-6 8-6s7.4 2 8 6"),
  search: drawLine("M10.5 17.500a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM15.700 15.700l5 5"),
  erase: drawLine("M21 5H9l-6.5 7L9 19h12zM12 9.500l5 5M17 9.500l-5 5"),
} satisfies Record<string, ReactNode>;

export type IconName = keyof typeof ICONS;

/** Icons that are mirrored in right-to-left text; those of the player follow time. */
const MIRRORED: ReadonlySet<IconName> = new Set(["back", "left", "right"]);

export function Icon({ name, size = "1.5em" }: { name: IconName; size?: string }) {
  return (
    <svg className={MIRRORED.has(name) ? "mirrored" : undefined} viewBox="0 0 24 24" width={size} height={size} aria-hidden="true" focusable="false">
      {ICONS[name]}
    </svg>
  );
}

export function Logo({ height = "1.75rem" }: { height?: string }) {
  return (
    <span className="logo" style={{ fontSize: height }} role="img" aria-label="Matinee">
      <svg viewBox="0 0 40 34" aria-hidden="true" focusable="false">
        <path d="M4 22a16 16 0 0 1 32 0z" fill="var(--accent)" />
        <rect x="0" y="26.5" width="40" height="4" rx="2" fill="currentColor" />
      </svg>
      <span aria-hidden="true">Matinee</span>
    </span>
  );
}
