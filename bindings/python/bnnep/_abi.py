# SPDX-License-Identifier: MIT
"""include/bnnep/bnnep.h in ctypes: every structure and function, and the library that has them.

A test compares all of it with the header: sizes, offsets and types of fields, what the _INIT macros write, argument and
result types.
"""
from __future__ import annotations

import ctypes
import ctypes.util
import operator
import os
import threading
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_double, c_float, c_size_t, c_void_p
from ctypes import c_int8, c_int32, c_uint8, c_uint32, c_uint64
from typing import Any, Optional

from ._errors import BY_STATUS, Error

# --- values ---------------------------------------------------------------------------------------------------------


def checked(value: Any, kind: Any) -> int:
    """The integer, if the C type can hold it: ctypes would cut it off without a word."""
    number: int = operator.index(value)
    if kind(number).value != number:
        raise OverflowError(f"{number} does not fit into {'u' * (kind(-1).value > 0)}int{8 * ctypes.sizeof(kind)}")
    return number


def checking(kind: Any) -> Any:
    """The C integer type, for arguments, with values looked at."""

    def from_param(_: Any, value: Any) -> Any:
        return kind(checked(value, kind))

    return type(kind.__name__, (kind,), {"from_param": classmethod(from_param)})


Int32, Uint64, Size = checking(c_int32), checking(c_uint64), checking(c_size_t)
Status = ctypes.c_int
Handle = c_void_p


class Options(Structure):
    """A structure that opens with `size`: set here, the other fields as the header's _INIT macro has them."""

    defaults: dict[str, Any] = {}

    def __init__(self, **values: Any) -> None:
        super().__init__()
        types: dict[str, Any] = {name: kind for name, kind in self._fields_}
        for name, value in {"size": ctypes.sizeof(self), **self.defaults, **values}.items():
            if name not in types:
                raise TypeError(f"{type(self).__name__} has no {name!r}")
            if types[name] in (c_int32, c_uint64, c_size_t):
                value = checked(value, types[name])
            setattr(self, name, value)


# --- structures -----------------------------------------------------------------------------------------------------


class BackendInfo(Options):
    _fields_ = [
        ("size", c_size_t),
        ("name", c_char_p),
        ("summary", c_char_p),
        ("reason", c_char_p),
        ("available", c_int32),
        ("reserved", c_int32),
    ]


class DatasetOptions(Options):
    _fields_ = [
        ("size", c_size_t),
        ("type", c_int32),
        ("channels", c_int32),
        ("height", c_int32),
        ("width", c_int32),
        ("classes", c_int32),
        ("copy", c_int32),
    ]
    defaults = {"height": 1, "width": 1, "copy": 1}


class Transform(Options):
    _fields_ = [
        ("size", c_size_t),
        ("mean", POINTER(c_float)),
        ("deviation", POINTER(c_float)),
        ("flip", c_int32),
        ("crop", c_int32),
    ]


class DatasetInfo(Options):
    _fields_ = [
        ("size", c_size_t),
        ("count", c_uint64),
        ("channels", c_int32),
        ("height", c_int32),
        ("width", c_int32),
        ("classes", c_int32),
        ("mean", POINTER(c_float)),
        ("deviation", POINTER(c_float)),
    ]


class Connection(Options):
    _fields_ = [
        ("size", c_size_t),
        ("kind", c_int32),
        ("outputs", c_int32),
        ("kernel", c_int32),
        ("padding", c_int32),
        ("pool", c_int32),
        ("reserved", c_int32),
    ]


LogFn = CFUNCTYPE(None, c_void_p, c_int32, c_char_p)


class NetworkOptions(Options):
    _fields_ = [
        ("size", c_size_t),
        ("dynamics", c_int32),
        ("input_channels", c_int32),
        ("input_height", c_int32),
        ("input_width", c_int32),
        ("classes", c_int32),
        ("expand_output", c_int32),
        ("connections", POINTER(Connection)),
        ("connection_count", c_size_t),
        ("theta", c_float),
        ("gamma_neur", c_float),
        ("free_steps", c_int32),
        ("settle_tolerance", c_float),
        ("max_batch", c_int32),
        ("seed", c_uint64),
        ("backend", c_char_p),
        ("log", LogFn),
        ("log_user", c_void_p),
        ("grid_bits", c_int32),
        ("reserved", c_int32),
    ]
    defaults = {
        "input_height": 1,
        "input_width": 1,
        "classes": 10,
        "expand_output": 1,
        "theta": 0.5,
        "gamma_neur": 0.5,
        "free_steps": 50,
        "max_batch": 64,
    }


class NetworkInfo(Options):
    _fields_ = [
        ("size", c_size_t),
        ("backend", c_char_p),
        ("connections", c_size_t),
        ("inputs", c_uint64),
        ("outputs", c_uint64),
        ("weights", c_uint64),
        ("dynamics", c_int32),
        ("classes", c_int32),
        ("expand_output", c_int32),
        ("max_batch", c_int32),
        ("free_steps", c_int32),
        ("settle_tolerance", c_float),
        ("input_channels", c_int32),
        ("input_height", c_int32),
        ("input_width", c_int32),
        ("grid_bits", c_int32),
        ("theta", c_float),
        ("gamma_neur", c_float),
    ]


class ConnectionInfo(Options):
    _fields_ = [
        ("size", c_size_t),
        ("kind", c_int32),
        ("rows", c_uint64),
        ("columns", c_uint64),
        ("scales", c_uint64),
        ("units", c_uint64),
        ("channels", c_uint64),
        ("height", c_uint64),
        ("width", c_uint64),
        ("kernel", c_int32),
        ("padding", c_int32),
        ("pool", c_int32),
        ("reserved", c_int32),
    ]


class OptimizerOptions(Options):
    _fields_ = [
        ("size", c_size_t),
        ("method", c_int32),
        ("nudged_steps", c_int32),
        ("beta", c_float),
        ("random_beta", c_int32),
        ("gamma", POINTER(c_double)),
        ("threshold", POINTER(c_double)),
        ("lr_bias", POINTER(c_double)),
        ("lr_alpha", POINTER(c_double)),
        ("shuffle", c_int32),
        ("seed", c_uint64),
        ("momentum_noise", c_int32),
        ("reserved", c_int32),
    ]
    defaults = {"nudged_steps": 10, "beta": 0.3, "random_beta": 1, "shuffle": 1}


class Report(Options):
    _fields_ = [
        ("size", c_size_t),
        ("samples", c_uint64),
        ("batches", c_uint64),
        ("loss", c_double),
        ("errors", c_uint64),
        ("errors_single", c_uint64),
        ("steps_free", c_double),
        ("steps_nudged", c_double),
        ("steps_free_max", c_uint32),
        ("steps_nudged_max", c_uint32),
        ("seconds", c_double),
        ("flips", POINTER(c_uint64)),
        ("flips_count", c_size_t),
    ]


class Progress(Options):
    _fields_ = [
        ("size", c_size_t),
        ("event", c_int32),
        ("batch", c_uint64),
        ("batches", c_uint64),
        ("samples", c_uint64),
        ("so_far", POINTER(Report)),
    ]


class WorkspaceOptions(Options):
    _fields_ = [("size", c_size_t), ("max_batch", c_int32), ("threads", c_int32)]


class Relaxed(Options):
    _fields_ = [
        ("size", c_size_t),
        ("sample_steps", c_uint64),
        ("most_steps", c_uint32),
        ("reserved", c_uint32),
    ]


ReadFn = CFUNCTYPE(c_int32, c_void_p, POINTER(c_uint64), c_size_t, POINTER(c_float), POINTER(c_int32))
ProgressFn = CFUNCTYPE(c_int32, c_void_p, POINTER(Progress))

# --- functions ------------------------------------------------------------------------------------------------------

_floats, _doubles, _labels, _signs = POINTER(c_float), POINTER(c_double), POINTER(c_int32), POINTER(c_int8)
_bits, _counts, _out = POINTER(c_uint8), POINTER(c_uint64), POINTER(Handle)

#: Name (without bnnep_), result, arguments; in the order of the header.
FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "status_name": (c_char_p, (Status,)),
    "last_error": (c_char_p, ()),
    "version": (c_uint32, ()),
    "version_string": (c_char_p, ()),
    "backend_count": (c_size_t, ()),
    "backend_get": (Status, (Size, POINTER(BackendInfo))),
    "dataset_from_memory": (Status, (POINTER(DatasetOptions), c_void_p, _labels, Uint64, _out)),
    "dataset_from_idx": (Status, (c_char_p, c_char_p, Int32, _out)),
    "dataset_from_folder": (Status, (c_char_p, Int32, Int32, _out)),
    "dataset_from_cifar10": (Status, (c_char_p, Int32, _out)),
    "dataset_transformed": (Status, (Handle, POINTER(Transform), _out)),
    "dataset_from_callback": (Status, (POINTER(DatasetOptions), ReadFn, c_void_p, Uint64, _out)),
    "dataset_subset": (Status, (Handle, Uint64, Uint64, _out)),
    "dataset_shuffled": (Status, (Handle, Uint64, _out)),
    "dataset_get_info": (Status, (Handle, POINTER(DatasetInfo))),
    "dataset_read": (Status, (Handle, Uint64, Size, _floats, _labels)),
    "dataset_free": (None, (Handle,)),
    "network_create": (Status, (POINTER(NetworkOptions), _out)),
    "network_memory": (Status, (POINTER(NetworkOptions), Int32, _counts)),
    "network_free": (None, (Handle,)),
    "network_set_relaxation": (Status, (Handle, Int32, c_float)),
    "network_get_info": (Status, (Handle, POINTER(NetworkInfo))),
    "network_get_connection": (Status, (Handle, Size, POINTER(ConnectionInfo))),
    "optimizer_create": (Status, (Handle, POINTER(OptimizerOptions), _out)),
    "optimizer_free": (None, (Handle,)),
    "train_batch": (Status, (Handle, _floats, _labels, Size, POINTER(Report))),
    "train_epoch": (Status, (Handle, Handle, Size, ProgressFn, c_void_p, POINTER(Report))),
    "workspace_create": (Status, (Handle, POINTER(WorkspaceOptions), _out)),
    "workspace_free": (None, (Handle,)),
    "network_workspace": (Handle, (Handle,)),
    "evaluate": (Status, (Handle, Handle, Handle, ProgressFn, c_void_p, POINTER(Report))),
    "predict": (Status, (Handle, Handle, _floats, Uint64, Int32, _floats, _labels)),
    "checkpoint_save": (Status, (Handle, c_char_p, c_char_p)),
    "checkpoint_load": (Status, (Handle, c_char_p)),
    "network_save": (Status, (Handle, c_char_p, c_char_p)),
    "network_load": (Status, (c_char_p, POINTER(NetworkOptions), _out)),
    "file_note": (Status, (c_char_p, c_char_p, Size, POINTER(c_size_t))),
    "file_text": (Status, (c_char_p, c_char_p, c_char_p, Size, POINTER(c_size_t))),
    "network_get_signs": (Status, (Handle, Size, _signs, Size)),
    "network_set_signs": (Status, (Handle, Size, _signs, Size)),
    "network_get_sign_bits": (Status, (Handle, Size, _bits, Size)),
    "network_set_sign_bits": (Status, (Handle, Size, _bits, Size)),
    "network_get_alpha": (Status, (Handle, Size, _floats, Size)),
    "network_set_alpha": (Status, (Handle, Size, _floats, Size)),
    "network_get_bias": (Status, (Handle, Size, _floats, Size)),
    "network_set_bias": (Status, (Handle, Size, _floats, Size)),
    "optimizer_get_momentum": (Status, (Handle, Size, _floats, Size)),
    "optimizer_set_momentum": (Status, (Handle, Size, _floats, Size)),
    "optimizer_get_position": (Status, (Handle, _counts, _counts)),
    "optimizer_set_position": (Status, (Handle, Uint64, Uint64)),
    "optimizer_set_beta": (Status, (Handle, c_float, Int32)),
    "optimizer_set_lr_alpha": (Status, (Handle, _doubles)),
    "stage": (Status, (Handle, _floats, _floats, Size)),
    "relax": (Status, (Handle, Int32, Int32, Int32, c_float, POINTER(Relaxed))),
    "workspace_get_state": (Status, (Handle, Int32, Size, _floats, Size)),
    "workspace_set_state": (Status, (Handle, Int32, Size, _floats, Size)),
    "learn": (Status, (Handle, Handle, c_float, _counts)),
    "backpropagate": (Status, (Handle, Handle, Int32)),
}

# --- the library ----------------------------------------------------------------------------------------------------


def _open() -> ctypes.CDLL:
    """What BNNEP_LIBRARY names, else what the loader finds (LD_LIBRARY_PATH, the system's folders)."""
    given = os.environ.get("BNNEP_LIBRARY")
    names = [given] if given else ["libbnnep.so.0", ctypes.util.find_library("bnnep") or ""]
    tried = []
    for name in filter(None, names):
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            tried.append(str(error))
    raise ImportError(
        f"libbnnep cannot be loaded ({'; '.join(tried)}): set BNNEP_LIBRARY to the path of libbnnep.so, "
        "or LD_LIBRARY_PATH to its folder"
    )


_pending = threading.local()


def remember(error: BaseException) -> None:
    """Called by a callback: an exception cannot cross the library, so it waits for the call to come back."""
    if getattr(_pending, "error", None) is None:
        _pending.error = error


def _check(status: int, *_: Any) -> None:
    """Raises what a callback raised during the call, or what the library says of its failure."""
    error: Optional[BaseException] = getattr(_pending, "error", None)
    if error is not None:
        _pending.error = None
        raise error
    if status != 0:
        raise BY_STATUS.get(status, Error)(library.bnnep_last_error().decode(errors="replace"))


library = _open()
for _name, (_result, _arguments) in FUNCTIONS.items():
    try:
        _function = getattr(library, f"bnnep_{_name}")
    except AttributeError:
        raise ImportError(f"{library._name} has no bnnep_{_name}: it is older than this module") from None
    _function.argtypes = _arguments
    if _result is Status:
        _function.restype = Status
        _function.errcheck = _check
    else:
        _function.restype = _result
