# SPDX-License-Identifier: MIT
"""The functions of bnnep.h and inside.h in ctypes, and the library that has them.

A test compares them with the headers: names, argument and result types.
"""
from __future__ import annotations

import ctypes
import ctypes.util
import os
import threading
from ctypes import POINTER, c_char_p, c_double, c_float, c_size_t, c_void_p
from ctypes import c_int8, c_int32, c_uint8, c_uint32, c_uint64
from typing import Any, Optional

from . import _structs as c
from ._errors import BY_STATUS, Error


def checking(kind: Any) -> Any:
    """The C integer type, for arguments, with values looked at."""

    def from_param(_: Any, value: Any) -> Any:
        return kind(c.checked(value, kind))

    return type(kind.__name__, (kind,), {"from_param": classmethod(from_param)})


Int32, Uint64, Size = checking(c_int32), checking(c_uint64), checking(c_size_t)
Status = c_int32

# --- functions ------------------------------------------------------------------------------------------------------

_floats, _doubles, _labels, _signs = POINTER(c_float), POINTER(c_double), POINTER(c_int32), POINTER(c_int8)
_bits, _counts, _handles = POINTER(c_uint8), POINTER(c_uint64), POINTER(c.Handle)

#: Name (without bnnep_), result, arguments; in the order of the headers.
FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "status_name": (c_char_p, (Status,)),
    "last_error": (c_char_p, ()),
    "version": (c_uint32, ()),
    "version_string": (c_char_p, ()),
    "context_options_init": (Status, (POINTER(c.ContextOptions), Size)),
    "context_create": (Status, (POINTER(c.ContextOptions), _handles)),
    "context_free": (None, (c.Handle,)),
    "backend_count": (c_size_t, (c.Handle,)),
    "backend_get": (Status, (c.Handle, Size, POINTER(c.BackendInfo))),
    "device_get": (Status, (c.Handle, Size, Size, POINTER(c.DeviceInfo))),
    "dataset_options_init": (Status, (POINTER(c.DatasetOptions), Size)),
    "dataset_from_memory": (Status, (c.Handle, POINTER(c.DatasetOptions), c_void_p, _labels, Uint64, _handles)),
    "dataset_from_callback": (Status, (c.Handle, POINTER(c.DatasetOptions), c.ReadFn, c_void_p, Uint64, _handles)),
    "open_options_init": (Status, (POINTER(c.OpenOptions), Size)),
    "dataset_open": (Status, (c.Handle, c_char_p, POINTER(c.OpenOptions), _handles)),
    "dataset_from_source": (Status, (c.Handle, POINTER(c.Source), POINTER(c.OpenOptions), _handles)),
    "dataset_subset": (Status, (c.Handle, Uint64, Uint64, _handles)),
    "dataset_select": (Status, (c.Handle, _counts, Uint64, _handles)),
    "dataset_concat": (Status, (_handles, Size, _handles)),
    "transform_init_cifar10": (Status, (POINTER(c.Transform), Size, Int32)),
    "dataset_transformed": (Status, (c.Handle, POINTER(c.Transform), _handles)),
    "dataset_get_info": (Status, (c.Handle, POINTER(c.DatasetInfo))),
    "dataset_read": (Status, (c.Handle, Uint64, Size, _floats, _labels)),
    "dataset_free": (None, (c.Handle,)),
    "network_options_init": (Status, (POINTER(c.NetworkOptions), Size)),
    "network_create": (Status, (c.Handle, POINTER(c.NetworkOptions), _handles)),
    "network_clone": (Status, (c.Handle, c.Handle, _handles)),
    "network_memory": (Status, (c.Handle, POINTER(c.NetworkOptions), Int32, _counts)),
    "network_free": (None, (c.Handle,)),
    "network_set_relaxation": (Status, (c.Handle, Int32, c_double)),
    "network_get_info": (Status, (c.Handle, POINTER(c.NetworkInfo))),
    "optimizer_options_init": (Status, (POINTER(c.OptimizerOptions), Size)),
    "optimizer_create": (Status, (c.Handle, POINTER(c.OptimizerOptions), _handles)),
    "optimizer_clone": (Status, (c.Handle, c.Handle, _handles)),
    "optimizer_free": (None, (c.Handle,)),
    "optimizer_get_info": (Status, (c.Handle, POINTER(c.OptimizerInfo))),
    "optimizer_get_rates": (Status, (c.Handle, Int32, _doubles, Size)),
    "optimizer_set_rates": (Status, (c.Handle, Int32, _doubles, Size)),
    "run_options_init": (Status, (POINTER(c.RunOptions), Size)),
    "interrupt": (None, (_labels,)),
    "optimizer_train_batch": (Status, (c.Handle, _floats, _labels, Size, POINTER(c.RunOptions), POINTER(c.Report))),
    "optimizer_train_epoch": (Status, (c.Handle, c.Handle, POINTER(c.RunOptions), POINTER(c.Report))),
    "network_evaluate": (Status, (c.Handle, c.Handle, POINTER(c.RunOptions), POINTER(c.Report))),
    "network_predict": (Status, (c.Handle, _floats, Uint64, POINTER(c.RunOptions), _floats, _labels)),
    "workspace_options_init": (Status, (POINTER(c.WorkspaceOptions), Size)),
    "workspace_create": (Status, (c.Handle, POINTER(c.WorkspaceOptions), _handles)),
    "workspace_free": (None, (c.Handle,)),
    "network_workspace": (c.Handle, (c.Handle,)),
    "checkpoint_save": (Status, (c.Handle, c_char_p, c_char_p)),
    "checkpoint_write": (Status, (c.Handle, POINTER(c.Sink), c_char_p)),
    "checkpoint_load": (Status, (c.Handle, c_char_p)),
    "checkpoint_read": (Status, (c.Handle, POINTER(c.Source))),
    "network_save": (Status, (c.Handle, c_char_p, c_char_p)),
    "network_write": (Status, (c.Handle, POINTER(c.Sink), c_char_p)),
    "load_options_init": (Status, (POINTER(c.LoadOptions), Size)),
    "network_load": (Status, (c.Handle, c_char_p, POINTER(c.LoadOptions), _handles)),
    "network_read": (Status, (c.Handle, POINTER(c.Source), POINTER(c.LoadOptions), _handles)),
    "file_text": (Status, (c_char_p, c_char_p, c_char_p, Size, POINTER(c_size_t))),
    "source_text": (Status, (POINTER(c.Source), c_char_p, c_char_p, Size, POINTER(c_size_t))),
    "network_get_connection": (Status, (c.Handle, Size, POINTER(c.ConnectionInfo))),
    "network_get_signs": (Status, (c.Handle, Size, _signs, Size)),
    "network_set_signs": (Status, (c.Handle, Size, _signs, Size)),
    "network_get_sign_bits": (Status, (c.Handle, Size, _bits, Size)),
    "network_set_sign_bits": (Status, (c.Handle, Size, _bits, Size)),
    "network_get_alpha": (Status, (c.Handle, Size, _floats, Size)),
    "network_set_alpha": (Status, (c.Handle, Size, _floats, Size)),
    "network_get_bias": (Status, (c.Handle, Size, _floats, Size)),
    "network_set_bias": (Status, (c.Handle, Size, _floats, Size)),
    "optimizer_get_momentum": (Status, (c.Handle, Size, _floats, Size)),
    "optimizer_set_momentum": (Status, (c.Handle, Size, _floats, Size)),
    "optimizer_set_position": (Status, (c.Handle, Uint64, Uint64)),
    "workspace_stage": (Status, (c.Handle, _floats, _floats, Size)),
    "relaxation_init": (Status, (POINTER(c.Relaxation), Size)),
    "workspace_relax": (Status, (c.Handle, POINTER(c.Relaxation), POINTER(c.Relaxed))),
    "workspace_get_state": (Status, (c.Handle, Int32, Size, _floats, Size)),
    "workspace_set_state": (Status, (c.Handle, Int32, Size, _floats, Size)),
    "contrast_options_init": (Status, (POINTER(c.ContrastOptions), Size)),
    "optimizer_contrast": (Status, (c.Handle, c.Handle, POINTER(c.ContrastOptions))),
    "optimizer_backpropagate": (Status, (c.Handle, c.Handle, Int32)),
    "optimizer_get_contrast": (Status, (c.Handle, Size, Int32, _floats, Size)),
    "optimizer_set_contrast": (Status, (c.Handle, Size, Int32, _floats, Size)),
    "optimizer_update": (Status, (c.Handle, POINTER(c.Report))),
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
