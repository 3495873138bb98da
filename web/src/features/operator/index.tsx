export default function O(_: {path: string}) { return null; }
