# SPDX-License-Identifier: MIT
"""Binary neural networks trained by equilibrium propagation: libbnnep, with numpy's arrays.

    from bnnep import Dataset, Network, Optimizer, Part, fc

    train, test = (Dataset.open("data/mnist", part) for part in Part)
    network = Network((28, 28), [fc(4096), fc(10)])
    optimizer = Optimizer(network, gamma=[1e-4, 1e-5], threshold=5e-7, lr_bias=[0.05, 0.025])
    for epoch in range(5):
        print(optimizer.train_epoch(train).error, network.evaluate(test).error)

Calls let other threads of Python run. Which handles may be used from several threads: bnnep.h. The library is the one
that BNNEP_LIBRARY names, or the loader finds.
"""
from __future__ import annotations

from ._abi import library
from ._context import Backend, Context, Device, LogLevel
from ._data import DataType, Dataset, Format, Part, Transform
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
from ._files import file_text
from ._network import (
    Connection,
    Dynamics,
    Kind,
    Network,
    NetworkInfo,
    NetworkOptions,
    Parameters,
    Readout,
    Schedule,
    Start,
    conv,
    fc,
    memory_needed,
)
from ._optimizer import ContrastPart, Fall, Method, Nudge, Optimizer, OptimizerInfo, Unit
from ._training import Progress, Report
from ._workspace import Phase, Relaxed, Workspace

__all__ = [
    "ArgumentError",
    "Backend",
    "BackendError",
    "CallbackError",
    "Cancelled",
    "Connection",
    "Context",
    "ContrastPart",
    "DataError",
    "DataType",
    "Dataset",
    "Device",
    "Dynamics",
    "Error",
    "Fall",
    "FileError",
    "Format",
    "FormatError",
    "Kind",
    "LogLevel",
    "Method",
    "Network",
    "NetworkInfo",
    "NetworkOptions",
    "Nudge",
    "Optimizer",
    "OptimizerInfo",
    "OutOfMemoryError",
    "Parameters",
    "Part",
    "Phase",
    "Progress",
    "Readout",
    "Schedule",
    "Start",
    "Relaxed",
    "Report",
    "Transform",
    "Unit",
    "UnsupportedError",
    "Workspace",
    "conv",
    "fc",
    "file_text",
    "memory_needed",
    "version",
]


def version() -> str:
    """The version of the library that runs."""
    return str(library.bnnep_version_string().decode())
