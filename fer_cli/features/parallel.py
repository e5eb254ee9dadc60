"""Descriptions of many images by several processes, a chunk at a time.

The images are shared out in chunks and come back in their order. Each image is described on its own by one thread, so
neither the size of a chunk nor the number of processes can change a value. Few chunks are under way at once: memory does
not grow with the set. Workers are started afresh, and import no more than the extractors need.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process

import cv2
from threadpoolctl import threadpool_limits

from fer_cli.data.block import Block
from fer_cli.errors import FerError
from fer_cli.features.extractor import Descriptions, Extractor

CHUNK = 64
"""Images in a chunk."""
AHEAD = 3
"""Chunks under way per process."""


def describe_images(
    extractor: Extractor, images: Block, jobs: int = 1, chunk: int = CHUNK
) -> Generator[Descriptions, None, None]:
    """Yield the descriptions of stills, ``chunk`` of them at a time, in order."""
    starts = range(0, len(images), chunk)
    jobs = min(jobs, len(starts))
    if not extractor.processes:
        for start in starts:
            yield extractor.describe(images[start : start + chunk])
    elif jobs <= 1:
        for start in starts:
            with one_thread():
                made = extractor.describe(images[start : start + chunk])
            yield made
    else:
        yield from describe_in_processes(extractor, images, starts, jobs)


def describe_in_processes(extractor: Extractor, images: Block, starts: range, jobs: int) -> Iterator[Descriptions]:
    """Yield what ``jobs`` processes make of the chunks that begin at ``starts``."""
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=start_worker)
    under_way: deque[Future[Descriptions]] = deque()
    try:
        for start in starts:
            under_way.append(pool.submit(extractor.describe, images[start : start + starts.step]))
            if len(under_way) == AHEAD * jobs:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    except BrokenProcessPool:
        raise FerError(f"{extractor.name}: a process ended before its work; fewer processes need less memory") from None
    finally:
        pool.shutdown(cancel_futures=True)


def start_worker() -> None:
    """Keep a worker to one thread, in libraries that are loaded and in those to come, and to its parent's life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends its workers in order
    threading.Thread(target=exit_with_parent, daemon=True).start()
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    cv2.setNumThreads(1)
    threadpool_limits(1)


def exit_with_parent() -> None:
    """End this process at once when its parent is gone."""
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep this process to one thread for a while."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        cv2.setNumThreads(before)
