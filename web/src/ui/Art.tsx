/** The artwork of a title, or generated art (a gradient, a shape and the name) if there is none. */
import { type CSSProperties, useState } from "react";
import type { Picture } from "../api";
import "./art.css";

/** Hash a text (FNV-1a). */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (const letter of text) hash = Math.imul(hash ^ (letter.codePointAt(0) ?? 0), 0x01000193);
  return hash >>> 0;
}

// Dark, middle and light colours that suit the dark background.
const PALETTES: readonly (readonly [string, string, string])[] = [
  ["#5b1420", "#e0603a", "#ffc48a"],
  ["#14323b", "#2f8f8a", "#c9efd9"],
  ["#2b1a47", "#8d4fb0", "#f6bcd6"],
  ["#1c2b14", "#6f9440", "#eef0b0"],
  ["#132347", "#3f6fc4", "#bfe0ff"],
  ["#43200d", "#c4802e", "#ffe3a6"],
  ["#3d0f34", "#c23d6d", "#ffc2b8"],
  ["#18262b", "#60808a", "#f0d9c0"],
];

interface ArtProps {
  picture: Picture | null | undefined;
  name: string;
  /** Load the picture at once, not when it is near the viewport. */
  eager?: boolean;
  /** Omit the name in generated art, where the page shows it. */
  bare?: boolean;
}

export function Art({ picture, name, eager = false, bare = false }: ArtProps) {
  const [failed, setFailed] = useState<string | null>(null);
  const [loaded, setLoaded] = useState(false);
  if (!picture || failed === picture.url) return <GeneratedArt name={name} bare={bare} />;
  return (
    <img
      className={`art ${loaded ? "shown" : ""}`}
      src={picture.url}
      alt=""
      width={picture.width_px}
      height={picture.height_px}
      loading={eager ? "eager" : "lazy"}
      fetchPriority={eager ? "high" : "auto"}
      decoding="async"
      draggable={false}
      style={{ backgroundColor: picture.colour }}
      ref={(image) => {
        if (image?.complete && image.naturalWidth) setLoaded(true);
      }}
      onLoad={() => setLoaded(true)}
      onError={() => setFailed(picture.url)}
    />
  );
}

function GeneratedArt({ name, bare }: { name: string; bare: boolean }) {
  const seed = hashText(name);
  const [deep, mid, light] = PALETTES[seed % PALETTES.length] ?? ["#5b1420", "#e0603a", "#ffc48a"];
  const x = 55 + (seed >>> 5) % 40;
  const y = 8 + (seed >>> 11) % 50;
  const style = { "--deep": deep, "--mid": mid, "--light": light, "--x": `${x}%`, "--y": `${y}%` } as CSSProperties;
  return (
    <span className="art generated shown" style={style} aria-hidden="true">
      <svg viewBox="0 0 160 90" preserveAspectRatio="xMidYMid slice">
        <Shape seed={seed} x={x * 1.6} y={y * 0.9} />
      </svg>
      {!bare && <span className="generated-name">{name}</span>}
    </span>
  );
}

/** One of four shapes: rings, rays, hills, windows. */
function Shape({ seed, x, y }: { seed: number; x: number; y: number }) {
  const kind = (seed >>> 17) % 4;
  if (kind === 0) return <g fill="none" stroke="var(--light)" strokeOpacity="0.28">{[14, 26, 40, 56].map((r) => <circle key={r} cx={x} cy={y} r={r} />)}</g>;
  if (kind === 1) {
    const rays = Array.from({ length: 12 }, (_, index) => ((index + (seed % 7) / 7) * Math.PI) / 6);
    return <g stroke="var(--light)" strokeOpacity="0.2" strokeWidth="1.5">{rays.map((angle) => <path key={angle} d={`M${x} ${y}l${Math.cos(angle) * 170} ${Math.sin(angle) * 170}`} />)}</g>;
  }
  if (kind === 2) {
    return <g fill="var(--deep)"><path d={`M0 ${52 + (seed % 9)}q40-26 82-6t78-14v60H0z`} fillOpacity="0.5" /><path d={`M0 ${70 + (seed % 7)}q50-18 92 0t68-10v40H0z`} fillOpacity="0.75" /></g>;
  }
  return <g fill="var(--light)" fillOpacity="0.16"><path d={`M${x - 24} 90V${y}h48v90z`} /><path d={`M${x - 60} 90V${y + 22}h28v68z`} /></g>;
}
