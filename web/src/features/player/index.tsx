export const warm = () => undefined; export default function P(_: {titleId: string; episodeId: string|null; fromStart: boolean}) { return null; }
