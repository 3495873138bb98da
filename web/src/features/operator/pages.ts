import { useEffect, useRef, useState } from "react";
import type { Page } from "../../api";
import { useScreen } from "../../api/screens";
import { useAction } from "../../ui/action";

export interface Pages<T> {
  items: T[];
  /** Whether the items are those of the key before, because those of this key are being loaded. */
  isStale: boolean;
  error: unknown;
  hasMore: boolean;
  isLoadingMore: boolean;
  more: () => void;
  reload: () => void;
}

/** How many further pages of each list were shown, so that Back finds them again. */
const further = new Map<string, number>();

/** A list that is loaded page by page. The first page is reloaded every `everyMs` as long as it is the only one. */
export function usePages<T>(key: string, load: (cursor?: string | null) => Promise<Page<T>>, everyMs = 0): Pages<T> {
  const [loaded, setLoaded] = useState<{ key: string; items: T[]; cursor: string | null; pages: number } | null>(null);
  const rest = loaded?.key === key ? loaded : null;
  const first = useScreen(key, () => load(), rest ? 0 : everyMs);
  const next = useAction();
  const shown = useRef<T[]>([]);
  const cursor = rest ? rest.cursor : first.data?.next_cursor;
  if (first.data) shown.current = [...first.data.items, ...(rest?.items ?? [])];

  const more = () => next.run(async () => {
    const page = await load(cursor);
    const pages = (rest?.pages ?? 0) + 1;
    further.set(key, Math.max(pages, further.get(key) ?? 0));
    setLoaded({ key, items: [...(rest?.items ?? []), ...page.items], cursor: page.next_cursor, pages });
  });
  const isShort = cursor != null && !next.problem && (rest?.pages ?? 0) < (further.get(key) ?? 0);
  useEffect(() => {
    if (isShort && first.data) void more();
  }, [isShort, first.data, rest?.pages]);
  const reload = () => {
    setLoaded(null);
    first.reload();
  };
  const isStale = first.data === undefined;
  return {
    items: isStale && first.error !== undefined ? [] : shown.current,
    isStale,
    error: next.problem ?? first.error,
    hasMore: !isStale && cursor != null,
    isLoadingMore: next.busy,
    more: () => void more(),
    reload,
  };
}

/** Return a value once it has not changed for a while. */
export function useSettled<T>(value: T, delayMs = 250): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), delayMs);
    return () => clearTimeout(timer);
  }, [value, delayMs]);
  return settled;
}
