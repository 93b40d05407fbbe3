# SPDX-License-Identifier: MIT
"""Contexts: where handles compute, and what they share."""
from __future__ import annotations

import ctypes
import enum
from dataclasses import dataclass
from typing import Any, Callable, Optional

from . import _structs
from ._abi import library
from ._handle import Handle, create, text


class LogLevel(enum.IntEnum):
    """How much a line of the log matters."""

    WARNING = 1
    NOTICE = 2


#: Receives a LogLevel and a line.
LogFn = Callable[[int, str], Any]


@dataclass(frozen=True)
class Device:
    """A device of a backend."""

    name: str  #: what to ask for, such as "cuda:0"
    summary: str
    memory_bytes: int  #: memory of its own; 0: the machine's


@dataclass(frozen=True)
class Backend:
    """What computes."""

    name: str
    summary: str
    available: bool
    reason: str  #: why it cannot be used here; "" if it can
    devices: tuple[Device, ...]


def _said_by(log: LogFn) -> Any:
    return _structs.LogFn(lambda _, level, line: log(level, line.decode(errors="replace")))


class Context(Handle):
    """A backend and its threads, a log, a limit of memory: what data sets and networks are made in. Those without a
    context get one each, with all defaults.

    >>> Context("cpu", threads=4, log=lambda level, line: print(line))

    `backend` is a name that `backends` has, or "auto", the best that is here. What the options mean, and their ranges:
    bnnep_context_options in bnnep.h; 0 and None are its defaults. `limits` are those of files: file_network,
    file_unpacked, file_header, file_steps.
    """

    _free = "bnnep_context_free"

    def __init__(
        self,
        backend: str = "auto",
        threads: int = 0,
        log: Optional[LogFn] = None,
        max_bytes: int = 0,
        module_path: Optional[str] = None,
        **limits: int,
    ) -> None:
        options = _structs.ContextOptions(
            backend=text(backend), threads=threads, max_bytes=max_bytes, module_path=text(module_path), **limits
        )
        if log is not None:
            options.log = _said_by(log)
        super().__init__(create(library.bnnep_context_create, ctypes.byref(options)), options.log)

    @property
    def backends(self) -> list[Backend]:
        """All that are known, whether usable here or not."""
        return [self._backend(index) for index in range(library.bnnep_backend_count(self.handle))]

    def _backend(self, index: int) -> Backend:
        info = _structs.BackendInfo()
        library.bnnep_backend_get(self.handle, index, ctypes.byref(info))
        devices = tuple(self._device(index, device) for device in range(info.device_count))
        return Backend(
            info.name.decode(), info.summary.decode(), bool(info.available), info.reason.decode(), devices
        )

    def _device(self, backend: int, index: int) -> Device:
        info = _structs.DeviceInfo()
        library.bnnep_device_get(self.handle, backend, index, ctypes.byref(info))
        return Device(info.name.decode(), info.summary.decode(), info.memory_bytes)
