"""Compute descriptors of many images in parallel processes, chunk by chunk and in order.

Each image is processed on its own by one thread, so neither chunk size nor number of processes changes a value. Only a few
chunks are in flight at once, so memory does not grow with the set. Workers are spawned and import only what extractors need.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process

import cv2
from threadpoolctl import threadpool_limits

from fer_cli.data.block import Block
from fer_cli.errors import FerError
from fer_cli.features.extractor import Descriptions, Extractor, one_thread

CHUNK = 64
"""Images per chunk."""
AHEAD = 3
"""Chunks in flight per process."""


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
    """Yield the descriptors of the chunks that begin at ``starts``, computed by ``jobs`` processes."""
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=start_worker)
    in_flight: deque[Future[Descriptions]] = deque()
    try:
        for start in starts:
            in_flight.append(pool.submit(extractor.describe, images[start : start + starts.step]))
            if len(in_flight) == AHEAD * jobs:
                yield in_flight.popleft().result()
        while in_flight:
            yield in_flight.popleft().result()
    except BrokenProcessPool:
        raise FerError(f"{extractor.name}: a worker process died, probably out of memory; use fewer processes") from None
    finally:
        pool.shutdown(cancel_futures=True)


def start_worker() -> None:
    """Limit a worker to one thread, also in libraries it loads later, and end it with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C also reaches the parent, which shuts the workers down
    threading.Thread(target=exit_with_parent, daemon=True).start()
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    cv2.setNumThreads(1)
    threadpool_limits(1)


def exit_with_parent() -> None:
    """Exit immediately when the parent process ends."""
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)
