# SPDX-License-Identifier: MIT
"""Binary neural networks trained by equilibrium propagation: libbnnep, with numpy's arrays.

    from bnnep import Dataset, Network, Optimizer, Part, fc

    train, test = (Dataset.from_folder("data/mnist", part) for part in Part)
    network = Network((28, 28), [fc(4096), fc(10)])
    optimizer = Optimizer(network, gamma=[1e-4, 1e-5], threshold=5e-7, lr_bias=[0.05, 0.025])
    for epoch in range(5):
        print(optimizer.train_epoch(train).error, network.evaluate(test).error)

Calls let other threads of Python run. Which handles may be used from several threads: bnnep.h. The library is the one
that BNNEP_LIBRARY names, or the loader finds.
"""
from __future__ import annotations

import ctypes
from dataclasses import dataclass

from . import _abi
from ._abi import library
from ._data import Dataset, DataType, Part
from ._errors import (
    ArgumentError,
    BackendError,
    CallbackError,
    Cancelled,
    DataError,
    Error,
    FileError,
    FormatError,
    OutOfMemoryError,
    UnsupportedError,
)
from ._handle import Path, path
from ._network import (
    Connection,
    Dynamics,
    Kind,
    Network,
    NetworkInfo,
    NetworkOptions,
    Parameters,
    Phase,
    Readout,
    Relaxed,
    Workspace,
    conv,
    fc,
    memory_needed,
)
from ._optimizer import Method, Optimizer
from ._training import Progress, Report

__all__ = [
    "ArgumentError",
    "Backend",
    "BackendError",
    "CallbackError",
    "Cancelled",
    "Connection",
    "DataError",
    "DataType",
    "Dataset",
    "Dynamics",
    "Error",
    "FileError",
    "FormatError",
    "Kind",
    "Method",
    "Network",
    "NetworkInfo",
    "NetworkOptions",
    "Optimizer",
    "OutOfMemoryError",
    "Parameters",
    "Part",
    "Phase",
    "Progress",
    "Readout",
    "Relaxed",
    "Report",
    "UnsupportedError",
    "Workspace",
    "backends",
    "conv",
    "fc",
    "file_note",
    "memory_needed",
    "version",
]


@dataclass(frozen=True)
class Backend:
    """What computes."""

    name: str
    summary: str
    available: bool
    reason: str  #: why it cannot be used here; "" if it can


def backends() -> list[Backend]:
    """All that the library knows of, whether usable here or not."""
    found = []
    for index in range(library.bnnep_backend_count()):
        info = _abi.BackendInfo()
        library.bnnep_backend_get(index, ctypes.byref(info))
        found.append(Backend(info.name.decode(), info.summary.decode(), bool(info.available), info.reason.decode()))
    return found


def version() -> str:
    """The version of the library that runs."""
    return str(library.bnnep_version_string().decode())


def file_note(file: Path) -> str:
    """The note of a checkpoint or network file."""
    length = ctypes.c_size_t()
    name = path(file)
    library.bnnep_file_note(name, None, 0, ctypes.byref(length))
    note = ctypes.create_string_buffer(length.value + 1)
    library.bnnep_file_note(name, note, len(note), None)
    return note.value.decode(errors="surrogateescape")
