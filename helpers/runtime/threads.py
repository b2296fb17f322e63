"""A few threads for work that leaves the interpreter free: unpacking files, and NumPy on large arrays."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_MOST = 4


def map_threads(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Apply `function` to every item on at most four threads, and yield the results in the order of the items.

    Four, or as many as there are cores: zlib and NumPy release the global interpreter lock, so a few threads run side
    by side, but each holds a whole volume in memory, and the Python code between such calls runs one thread at a time.

    Meanwhile NumPy's matrix products start no threads of their own: in several threads at once those took up to 80
    times as long, waiting for each other.

    The threads start with the first result that is asked for. Where the caller stops early, or `function` raises, no
    further item is begun.

    Args:
        function: called with one item, from several threads at once; what it raises is raised here in its turn.
        items: read to the end before the first result is yielded.

    Yields:
        The result for each item.

    Examples:
        >>> list(map_threads(abs, [-3, 1, -2]))
        [3, 1, 2]
    """
    pool = ThreadPoolExecutor(max_workers=min(_MOST, os.cpu_count() or 1))
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)
