# SPDX-License-Identifier: MIT
"""What training and evaluation report, and their callbacks."""
from __future__ import annotations

import contextlib
import ctypes
import signal
import threading
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Optional

import numpy as np
from numpy.typing import NDArray

from . import _abi
from ._errors import Error
from ._handle import pointer

EVENT_STEP, EVENT_BATCH = 0, 1


@dataclass(frozen=True)
class Report:
    """What a batch, an epoch or an evaluation came to."""

    samples: int
    batches: int
    loss: float  #: 1/2 |s_L - target|^2 after the free phase, mean of the samples
    errors: int  #: samples whose class was wrong, read by averaging the units of a class
    errors_single: int  #: the same, read from the first unit of a class
    steps_free: float  #: time steps of the free phase that were done, mean of the samples
    steps_nudged: float
    steps_free_max: int
    steps_nudged_max: int
    seconds: float  #: wall-clock time
    flips: NDArray[np.uint64]  #: weights flipped, a connection each, input first; none in an evaluation

    @property
    def error(self) -> float:
        """Share of the samples whose class was wrong."""
        return self.errors / self.samples if self.samples else 0.0

    @classmethod
    def _of(cls, report: _abi.Report, flips: NDArray[np.uint64]) -> Report:
        numbers: dict[str, Any] = {name: getattr(report, name) for name in cls.__annotations__ if name != "flips"}
        return cls(**numbers, flips=flips)


@dataclass(frozen=True)
class Progress:
    """Where a training or an evaluation stands after a batch."""

    batch: int  #: batches done
    batches: int  #: batches in all
    samples: int  #: samples done
    so_far: Report


#: Called after each batch; an exception stops the call and comes out of it.
ProgressFn = Callable[[Progress], Any]
#: Asked after each batch and in the midst of phases; true stops the call, which raises Cancelled.
CancelFn = Callable[[], Any]


@contextlib.contextmanager
def interrupts() -> Iterator[Callable[[], None]]:
    """Ctrl-C during a call: gives a function that runs the handler of those that came. Left to itself Python would run
    it as it enters the callback, where nothing can catch what it raises. Only the main thread has handlers."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if main else None
    came: list[tuple[int, Any]] = []

    def run_handler() -> None:
        while came and callable(handler):
            handler(*came.pop())

    if not callable(handler):
        yield run_handler
        return
    signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield run_handler
    finally:
        signal.signal(signal.SIGINT, handler)
    run_handler()


def run(
    function: Callable[..., None],
    handles: tuple[Any, ...],
    connections: int,
    progress: Optional[ProgressFn],
    cancel: Optional[CancelFn],
) -> Report:
    """Calls `function`, whose last three arguments are a progress callback, its data and a report. The callback is
    there even if nobody asked for it, so that Ctrl-C stops an epoch."""
    flips = np.zeros(connections, np.uint64)
    report = _abi.Report(flips=pointer(flips), flips_count=connections)
    stopped = False

    with interrupts() as run_handler:

        def on_event(_: Any, event: Any) -> int:
            nonlocal stopped
            try:
                run_handler()
                if not stopped and progress is not None and event[0].event == EVENT_BATCH:
                    now = event[0]
                    so_far = Report._of(now.so_far[0], flips.copy())
                    progress(Progress(now.batch, now.batches, now.samples, so_far))
                stopped = stopped or (cancel is not None and bool(cancel()))
            except BaseException as error:
                _abi.remember(error)
                stopped = True
            return stopped

        try:
            function(*handles, _abi.ProgressFn(on_event), None, ctypes.byref(report))
        except Error as error:
            error.report = Report._of(report, flips)
            raise
    return Report._of(report, flips)
