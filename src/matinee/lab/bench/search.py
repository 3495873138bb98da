"""Search as one types: the cost of a keystroke over a generated catalogue, beside bare tantivy and bare OpenSearch."""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from random import Random
from typing import TypeAlias

from matinee.kit import log
from matinee.kit.clock import SystemClock
from matinee.lab.bench.bare_search import BareOpenSearch, BareTantivy
from matinee.lab.bench.figures import Samples
from matinee.lab.bench.harness import Bench, Clock, measure_in_turns
from matinee.lab.catalogue import GeneratedTitle, generate_titles
from matinee.lab.search import JudgedQuery, generate_queries
from matinee.lab.search.trial import build_trial, make_find
from matinee.search.adapters.tantivy import TantivyIndex

TITLES, SMALLEST_TITLES = 36_000, 200
QUERIES, SMALLEST_QUERIES = 3_000, 60
P50_GOAL_MS, P99_GOAL_MS = 3.0, 15.0
_SEED = 1
Find: TypeAlias = Callable[[str, str], Awaitable[object]]


async def measure(bench: Bench) -> None:
    """Measure; generating and indexing 36,000 titles takes two minutes, and three more on OpenSearch."""
    log.configure(level="ERROR")
    titles = list(generate_titles(bench.size(TITLES, SMALLEST_TITLES), _SEED))
    queries = generate_queries(titles, bench.size(QUERIES, SMALLEST_QUERIES), _SEED)
    keystrokes = list(type_queries(queries, bench.size(1_000, 40)))
    started_s = time.process_time()
    search = await build_trial(TantivyIndex(bench.folder / "search"), titles)
    bench.report("index: built", Samples([time.process_time() - started_s], "ours"), "s")
    status = await search.get_status()
    bench.report("index: size", Samples([status.size_bytes / 1e6], "ours"), "MB")
    bench.report("index: names", Samples([float(status.names)], "ours"), "names")
    bare = BareTantivy(bench.folder / "bare", titles)
    # A service does not have the generated titles in memory, which the garbage collector examines again and again.
    gc.freeze()
    bench.stack.callback(gc.unfreeze)
    variants = {
        "ours": _time_keystrokes(make_find(search), keystrokes),
        "tantivy, titles only, corrections by its query parser": _time_keystrokes(bare.find, keystrokes),
    }
    ours, theirs = await measure_in_turns(variants, rounds=bench.size(5, 1))
    bench.report("keystroke: mean", ours, "ms", baseline=theirs)
    costs = sorted(await _list_costs(make_find(search), keystrokes))
    for name, share, goal in (("p50", 0.5, P50_GOAL_MS), ("p99", 0.99, P99_GOAL_MS)):
        bench.report(f"keystroke: {name}", Samples([costs[int(len(costs) * share)]], "ours"), "ms", max_value=goal)
    await _measure_opensearch(bench, titles, keystrokes)


async def _measure_opensearch(
    bench: Bench, titles: Sequence[GeneratedTitle], keystrokes: Sequence[JudgedQuery]
) -> None:
    """Measure how long a keystroke takes by the clock, since the engine is another process."""
    from matinee.drivers.opensearch import OpenSearch  # loaded only when it is used
    from matinee.search.adapters.opensearch import OpenSearchIndex

    opensearch = await bench.stack.enter_async_context(OpenSearch(bench.open_engine("opensearch")))
    search = await build_trial(OpenSearchIndex(opensearch, SystemClock()), titles)
    bare = BareOpenSearch(opensearch)
    bench.stack.push_async_callback(bare.remove)
    await bare.build(titles)
    variants = {
        "ours on OpenSearch": _time_keystrokes(make_find(search), keystrokes, time.perf_counter),
        "OpenSearch, titles only, corrections by its fuzziness": _time_keystrokes(
            bare.find, keystrokes, time.perf_counter
        ),
    }
    ours, theirs = await measure_in_turns(variants, rounds=bench.size(3, 1))
    bench.report("keystroke on OpenSearch: mean wait", ours, "ms", baseline=theirs)


def type_queries(queries: Sequence[JudgedQuery], count: int) -> Iterator[JudgedQuery]:
    """Yield queries as they are while they are typed, as many as given."""
    rng = Random(_SEED)  # noqa: S311 - not for security
    for _ in range(count):
        query = rng.choice(queries)
        typed = query.text[: rng.randint(1, len(query.text))]
        yield JudgedQuery(
            text=typed, language=query.language, query_class=query.query_class, pattern=query.pattern, grades={}
        )


def _time_keystrokes(
    find: Find, keystrokes: Sequence[JudgedQuery], clock: Clock = time.process_time
) -> Callable[[int], Awaitable[float]]:
    """Return a turn that searches for every keystroke, and returns the mean time of one."""

    async def run(_number: int) -> float:
        return sum(await _list_costs(find, keystrokes, clock)) / len(keystrokes)

    return run


async def _list_costs(find: Find, keystrokes: Sequence[JudgedQuery], clock: Clock = time.process_time) -> list[float]:
    """Measure the time of each keystroke, by default the CPU time of this process."""
    costs = []
    for keystroke in keystrokes:
        started_s = clock()
        await find(keystroke.text, keystroke.language)
        costs.append(clock() - started_s)
    return costs
