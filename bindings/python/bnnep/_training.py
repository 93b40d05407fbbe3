# SPDX-License-Identifier: MIT
"""What training and evaluation report, and their callbacks."""
from __future__ import annotations

import contextlib
import ctypes
import enum
import math
import signal
import threading
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Optional

import numpy as np
from numpy.typing import NDArray

from . import _abi, _structs
from ._errors import Error


class Event(enum.IntEnum):
    """When the library calls a progress callback."""

    STEP = 0
    BATCH = 1


@dataclass(frozen=True)
class Report:
    """What a batch, an epoch or an evaluation came to."""

    samples: int
    batches: int
    errors: int  #: samples whose class was wrong, read by averaging the units of a class
    errors_single: int  #: the same, read from the first unit of a class
    loss: float  #: 1/2 |s_L - target|^2 after the free phase, mean of the samples
    steps_free: float  #: time steps of the free phase that were done, mean of the samples
    steps_nudged: float
    seconds: float  #: wall-clock time; of training, that of staging, the phases and updating:
    seconds_stage: float
    seconds_free: float
    seconds_nudged: float
    seconds_learn: float
    steps_free_max: int
    steps_nudged_max: int
    flips: NDArray[np.uint64]  #: weights flipped, a connection each, input first; none in an evaluation
    edges: NDArray[np.float64]  #: of an epoch: share of weights whose momentum is above half of the threshold, likewise
    contrasts: NDArray[np.float64]  #: of an epoch: root mean square of the weights' contrast in its last batch, likewise
    confusion: Optional[NDArray[np.uint64]]  #: samples by class and prediction, if an evaluation was asked for it
    predictions: Optional[NDArray[np.int32]]  #: the class that each sample was taken for, likewise

    @property
    def error(self) -> float:
        """Share of the samples whose class was wrong."""
        return self.errors / self.samples if self.samples else 0.0

    @classmethod
    def _of(cls, report: _structs.Report, done: bool = True) -> Report:
        flips = _copy(report.flips, report.flips_count)
        confusion = _copy(report.confusion, report.confusion_count) if done else None
        classes = math.isqrt(report.confusion_count)
        return report.into(
            cls,
            flips=np.zeros(0, np.uint64) if flips is None else flips,
            edges=_told(report.edges, report.flips_count),
            contrasts=_told(report.contrasts, report.flips_count),
            confusion=None if confusion is None else confusion.reshape(classes, classes),
            predictions=_copy(report.predictions, report.predictions_count) if done else None,
        )


def _copy(values: Any, count: int) -> Optional[NDArray[Any]]:
    return np.ctypeslib.as_array(values, (count,)).copy() if values else None


def _told(values: Any, count: int) -> NDArray[np.float64]:
    copied = _copy(values, count)
    return np.zeros(0) if copied is None else copied


def blank(flips: int = 0, confusion: int = 0, predictions: int = 0, told: int = 0) -> _structs.Report:
    """A report to be filled in, with arrays so long; 0: none. told: edges and contrasts, as many as flips."""
    return _structs.Report(
        flips=(ctypes.c_uint64 * flips)() if flips else None,
        flips_count=flips,
        edges=(ctypes.c_double * told)() if told else None,
        contrasts=(ctypes.c_double * told)() if told else None,
        confusion=(ctypes.c_uint64 * confusion)() if confusion else None,
        confusion_count=confusion,
        predictions=(ctypes.c_int32 * predictions)() if predictions else None,
        predictions_count=predictions,
    )


@dataclass(frozen=True)
class Progress:
    """Where a training or an evaluation stands after a batch."""

    batches_done: int
    batches_total: int
    samples_done: int
    so_far: Report  #: without confusion and predictions


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
    handles: tuple[int, int],
    report: _structs.Report,
    progress: Optional[ProgressFn],
    cancel: Optional[CancelFn],
    **options: Any,
) -> Report:
    """Calls `function`, whose last two arguments are the options of a run and a report. The callback is there even if
    nobody asked for it, so that Ctrl-C stops an epoch."""
    stopped = False

    with interrupts() as run_handler:

        def on_event(_: Any, event: Any) -> int:
            nonlocal stopped
            try:
                run_handler()
                now = event[0]
                if not stopped and progress is not None and now.event == Event.BATCH:
                    so_far = Report._of(now.so_far[0], done=False)
                    progress(Progress(now.batches_done, now.batches_total, now.samples_done, so_far))
                stopped = stopped or (cancel is not None and bool(cancel()))
            except BaseException as error:
                _abi.remember(error)
                stopped = True
            return stopped

        how = _structs.RunOptions(progress=_structs.ProgressFn(on_event), **options)
        try:
            function(*handles, ctypes.byref(how), ctypes.byref(report))
        except Error as error:
            error.report = Report._of(report)
            raise
    return Report._of(report)
