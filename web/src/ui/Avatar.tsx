/** Profile pictures: drawn scenes by name. An unknown name is mapped to one of them. */
import { useId } from "react";
import { hashText } from "./Art";
import "./avatar.css";

interface Scene {
  sky: [string, string];
  draw: string[];
}

const SCENES = {
  ember: { sky: ["#ff9b54", "#a3162e"], draw: ["#ffd9a0|M50 84c-17 0-27-11-27-26 0-17 15-22 17-40 13 6 15 17 14 25 4-2 6-6 6-10 10 8 17 16 17 26 0 15-10 25-27 25z", "#f4623a|M50 84c-9 0-15-6-15-14 0-9 8-12 10-22 9 6 20 12 20 23 0 8-6 13-15 13z"] },
  tide: { sky: ["#8fe3e0", "#0d5c7d"], draw: ["#f3fbf5|M36 34a13 13 0 1 0 26 0 13 13 0 1 0-26 0", "#1583a0|M0 62c12-9 22-9 34 0s22 9 34 0 20-9 32-1v39H0z", "#0a4863|M0 76c12-9 22-9 34 0s22 9 34 0 20-9 32-1v25H0z"] },
  moss: { sky: ["#e5efa8", "#5d8a3c"], draw: ["#3f6b2d|M0 70q26-26 54-10t46-6v46H0z", "#24481e|M0 84q30-18 58-6t42-4v26H0z", "#fff8cf|M62 30a11 11 0 1 0 22 0 11 11 0 1 0-22 0"] },
  dusk: { sky: ["#f7a6a1", "#4a2a73"], draw: ["#ffe3bd|M32 52a18 18 0 1 1 36 0z", "#2f1a52|M0 52h100v48H0z", "#8d5aa8|M34 60h32v3H34zM40 68h20v3H40zM44 76h12v3H44z"] },
  frost: { sky: ["#f4fbff", "#7fa8d8"], draw: ["#5579ad|M0 88 30 40l16 24 14-18 40 42v12H0z", "#ffffff|M30 40l10 17-8-2-5 6-7-4zM60 46l12 13-8-1-6 5-5-8z"] },
  plum: { sky: ["#e9a6e0", "#5c1f66"], draw: ["#3a0f45|M50 30c22 0 32 15 32 30S68 86 50 86 18 75 18 60s10-30 32-30z", "#a14aa8|M50 34c6 14 6 32 0 50-16 0-28-10-28-24s10-26 28-26z", "#8fbf6a|M50 31c0-10 6-17 18-18 0 11-7 17-18 18z"] },
  honey: { sky: ["#ffe9a8", "#d9861f"], draw: ["#fff6d8|M50 16l17 10v20L50 56 33 46V26z", "#b9640f|M31 50l17 10v20L31 90 14 80V60z", "#fbd26a|M69 50l17 10v20L69 90 52 80V60z"] },
  night: { sky: ["#34508c", "#0b1230"], draw: ["#f5ecc8|M62 18a30 30 0 1 0 20 50A26 26 0 0 1 62 18z", "#f5ecc8|M24 26l2 6 6 2-6 2-2 6-2-6-6-2 6-2zM80 20l1.500 4 4 1.500-4 1.500-1.500 4-1.500-4-4-1.500 4-1.500z"] },
  coral: { sky: ["#ffd2bd", "#e2556a"], draw: ["#fff1e6|M48 90V62c-14 0-22-8-22-20h7c0 8 5 13 15 13V28h7v20c8 0 12-4 12-11h7c0 11-7 18-19 18v35z"] },
  robin: { sky: ["#bfe3f2", "#3f7f9e"], draw: ["#5b4638|M26 56c0-17 11-28 26-28s25 10 25 25c0 20-13 33-28 33-13 0-23-12-23-30z", "#f4773f|M40 52c0-10 8-16 17-14 12 2 18 9 18 18 0 16-10 26-20 26-9 0-15-14-15-30z", "#1d1411|M60 40a3.500 3.500 0 1 0 .1 0z", "#f0b640|M75 44l12 4-12 4z"] },
} satisfies Record<string, Scene>;

export const AVATARS = Object.keys(SCENES);

export function Avatar({ name, size }: { name: string; size?: string }) {
  const id = useId();
  const known = Object.hasOwn(SCENES, name) ? name : (AVATARS[hashText(name) % AVATARS.length] as string);
  const { sky, draw } = SCENES[known as keyof typeof SCENES];
  return (
    <svg className="avatar" viewBox="0 0 100 100" width={size} height={size} aria-hidden="true" focusable="false">
      <defs>
        <linearGradient id={id} x1="0" y1="0" x2="0.3" y2="1">
          <stop offset="0" stopColor={sky[0]} />
          <stop offset="1" stopColor={sky[1]} />
        </linearGradient>
      </defs>
      <rect width="100" height="100" fill={`url(#${id})`} />
      {draw.map((shape) => {
        const [fill, path] = shape.split("|");
        return <path key={shape} fill={fill} d={path} />;
      })}
    </svg>
  );
}
