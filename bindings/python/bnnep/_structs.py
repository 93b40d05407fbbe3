# SPDX-License-Identifier: MIT
"""The structures and callbacks of bnnep.h and inside.h in ctypes, in their order.

A test compares them with the headers: sizes, offsets and types of fields, what the _INIT macros write.
"""
from __future__ import annotations

import ctypes
import operator
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_double, c_float, c_size_t, c_void_p
from ctypes import c_int32, c_uint64
from typing import Any, TypeVar

Handle = c_void_p
Made = TypeVar("Made")


def checked(value: Any, kind: Any) -> int:
    """The integer, if the C type can hold it: ctypes would cut it off without a word."""
    number: int = operator.index(value)
    if kind(number).value != number:
        raise OverflowError(f"{number} does not fit into {'u' * (kind(-1).value > 0)}int{8 * ctypes.sizeof(kind)}")
    return number


class Struct(Structure):
    """A structure that opens with `size`, which is set here. All else is zero, the library's default."""

    def __init__(self, **values: Any) -> None:
        super().__init__()
        types: dict[str, Any] = {name: kind for name, kind in self._fields_}
        for name, value in {"size": ctypes.sizeof(self), **values}.items():
            if name not in types:
                raise TypeError(f"{type(self).__name__} has no {name!r}")
            if types[name] in (c_int32, c_uint64, c_size_t):
                value = checked(value, types[name])
            setattr(self, name, value)

    def into(self, kind: type[Made], **others: Any) -> Made:
        """A dataclass of the fields that have the same names there, and of others."""
        same = {name: getattr(self, name) for name in kind.__annotations__ if hasattr(self, name)}
        return kind(**{**same, **others})


def fields(**kinds: Any) -> list[tuple[str, Any]]:
    return [("size", c_size_t), *kinds.items()]


# --- contexts, sources and sinks ------------------------------------------------------------------------------------

LogFn = CFUNCTYPE(None, c_void_p, c_int32, c_char_p)
AllocateFn = CFUNCTYPE(c_void_p, c_void_p, c_size_t)
ReleaseFn = CFUNCTYPE(None, c_void_p, c_void_p)


class ContextOptions(Struct):
    _fields_ = fields(
        backend=c_char_p,
        module_path=c_char_p,
        log=LogFn,
        log_user=c_void_p,
        allocate=AllocateFn,
        release=ReleaseFn,
        memory_user=c_void_p,
        max_bytes=c_uint64,
        file_network=c_uint64,
        file_unpacked=c_uint64,
        file_header=c_uint64,
        threads=c_int32,
        file_steps=c_int32,
    )


class BackendInfo(Struct):
    _fields_ = fields(name=c_char_p, summary=c_char_p, reason=c_char_p, available=c_int32, device_count=c_int32)


class DeviceInfo(Struct):
    _fields_ = fields(name=c_char_p, summary=c_char_p, reserved=c_char_p, memory_bytes=c_uint64)


ReadBytesFn = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_size_t, POINTER(c_size_t))
WriteBytesFn = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_size_t)


class Source(Struct):
    _fields_ = fields(path=c_char_p, bytes=c_void_p, count=c_size_t, read=ReadBytesFn, user=c_void_p, name=c_char_p)


class Sink(Struct):
    _fields_ = fields(
        path=c_char_p,
        bytes=c_void_p,
        room=c_size_t,
        write=WriteBytesFn,
        user=c_void_p,
        name=c_char_p,
        count=POINTER(c_uint64),
    )


# --- data sets ------------------------------------------------------------------------------------------------------


class DatasetOptions(Struct):
    _fields_ = fields(
        type=c_int32, channels=c_int32, height=c_int32, width=c_int32, classes=c_int32, borrow=c_int32
    )


class Batch(Struct):
    _fields_ = fields(
        count=c_size_t, indices=POINTER(c_uint64), inputs=POINTER(c_float), labels=POINTER(c_int32)
    )


ReadFn = CFUNCTYPE(c_int32, c_void_p, POINTER(Batch))


class OpenOptions(Struct):
    _fields_ = fields(labels=POINTER(Source), format=c_int32, part=c_int32, classes=c_int32, reserved=c_int32)


class Transform(Struct):
    _fields_ = fields(
        mean=POINTER(c_float), deviation=POINTER(c_float), channel_count=c_size_t, flip=c_int32, crop=c_int32
    )


class DatasetInfo(Struct):
    _fields_ = fields(
        mean=POINTER(c_float),
        deviation=POINTER(c_float),
        count=c_uint64,
        channels=c_int32,
        height=c_int32,
        width=c_int32,
        classes=c_int32,
        labelled=c_int32,
        reserved=c_int32,
    )


# --- networks -------------------------------------------------------------------------------------------------------


class Connection(Struct):
    _fields_ = fields(
        kind=c_int32,
        outputs=c_int32,
        kernel=c_int32,
        padding=c_int32,
        pool=c_int32,
        **{"from": c_int32},  # a keyword of Python
        to=c_int32,
        reserved=c_int32,
    )


class NetworkOptions(Struct):
    _fields_ = fields(
        connections=POINTER(Connection),
        connection_count=c_size_t,
        theta=c_double,
        gamma_neur=c_double,
        settle_tolerance=c_double,
        seed=c_uint64,
        dynamics=c_int32,
        input_channels=c_int32,
        input_height=c_int32,
        input_width=c_int32,
        classes=c_int32,
        expand_output=c_int32,
        free_steps=c_int32,
        max_batch=c_int32,
        grid_bits=c_int32,
        schedule=c_int32,
        start=c_int32,
        feedback=c_float,
    )


class NetworkInfo(Struct):
    _fields_ = fields(
        backend=c_char_p,
        connection_count=c_size_t,
        layer_count=c_size_t,
        inputs=c_uint64,
        outputs=c_uint64,
        weights=c_uint64,
        theta=c_double,
        gamma_neur=c_double,
        settle_tolerance=c_double,
        dynamics=c_int32,
        classes=c_int32,
        expand_output=c_int32,
        max_batch=c_int32,
        free_steps=c_int32,
        grid_bits=c_int32,
        input_channels=c_int32,
        input_height=c_int32,
        input_width=c_int32,
        schedule=c_int32,
        feedback=c_float,
        reserved=c_int32,
    )


# --- training, evaluation, prediction -------------------------------------------------------------------------------


class OptimizerOptions(Struct):
    _fields_ = fields(
        gamma=POINTER(c_double),
        threshold=POINTER(c_double),
        lr_bias=POINTER(c_double),
        lr_alpha=POINTER(c_double),
        connection_count=c_size_t,
        beta=c_double,
        seed=c_uint64,
        method=c_int32,
        nudged_steps=c_int32,
        nudge=c_int32,
        keep_order=c_int32,
        fall_to=c_double,
        fall_updates=c_uint64,
        threshold_kind=c_int32,
        rate_kind=c_int32,
        fall=c_int32,
        flip_reset=c_int32,
        covariance=c_int32,
        consolidation=c_float,
    )


class OptimizerInfo(Struct):
    _fields_ = fields(
        batches=c_uint64,
        epochs=c_uint64,
        seed=c_uint64,
        method=c_int32,
        nudged_steps=c_int32,
        nudge=c_int32,
        keep_order=c_int32,
        learns_alpha=c_int32,
        reserved=c_int32,
    )


class Report(Struct):
    _fields_ = fields(
        flips=POINTER(c_uint64),
        flips_count=c_size_t,
        confusion=POINTER(c_uint64),
        confusion_count=c_size_t,
        predictions=POINTER(c_int32),
        predictions_count=c_size_t,
        samples=c_uint64,
        batches=c_uint64,
        errors=c_uint64,
        errors_single=c_uint64,
        loss=c_double,
        steps_free=c_double,
        steps_nudged=c_double,
        seconds=c_double,
        seconds_stage=c_double,
        seconds_free=c_double,
        seconds_nudged=c_double,
        seconds_learn=c_double,
        steps_free_max=c_int32,
        steps_nudged_max=c_int32,
        edges=POINTER(c_double),
        contrasts=POINTER(c_double),
    )


class Progress(Struct):
    _fields_ = fields(
        so_far=POINTER(Report),
        batches_done=c_uint64,
        batches_total=c_uint64,
        samples_done=c_uint64,
        event=c_int32,
        reserved=c_int32,
    )


ProgressFn = CFUNCTYPE(c_int32, c_void_p, POINTER(Progress))


class RunOptions(Struct):
    _fields_ = fields(
        workspace=Handle,
        progress=ProgressFn,
        user=c_void_p,
        interrupt=POINTER(c_int32),
        batch_size=c_size_t,
        readout=c_int32,
        reserved=c_int32,
    )


class WorkspaceOptions(Struct):
    _fields_ = fields(max_batch=c_int32, threads=c_int32)


class LoadOptions(Struct):
    _fields_ = fields(max_batch=c_int32, reserved=c_int32)


# --- inside ---------------------------------------------------------------------------------------------------------


class ConnectionInfo(Struct):
    _fields_ = fields(
        rows=c_uint64,
        columns=c_uint64,
        scales=c_uint64,
        units=c_uint64,
        channels=c_uint64,
        height=c_uint64,
        width=c_uint64,
        kind=c_int32,
        kernel=c_int32,
        padding=c_int32,
        pool=c_int32,
        **{"from": c_int32},
        to=c_int32,
    )


class Relaxation(Struct):
    _fields_ = fields(beta=c_double, **{"from": c_int32}, to=c_int32, steps=c_int32, reserved=c_int32)


class Relaxed(Struct):
    _fields_ = fields(sample_steps=c_uint64, most_steps=c_int32, reserved=c_int32)


class ContrastOptions(Struct):
    _fields_ = fields(divisor=c_double, first=c_int32, second=c_int32)
