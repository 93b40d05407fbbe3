# SPDX-License-Identifier: MIT
"""Exceptions: one for each status of the library, each also what Python calls such a thing."""
from __future__ import annotations

from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from ._training import Report


class Error(Exception):
    """What the library refused or could not do. Its text is bnnep_last_error(): the value, and the limit it broke."""

    status: int = 0
    #: What was done before a training or an evaluation stopped; None for all other calls.
    report: Optional[Report] = None


class ArgumentError(Error, ValueError):
    """An argument or option is out of range."""

    status = -1


class OutOfMemoryError(Error, MemoryError):
    """Out of memory, or of what the context allows."""

    status = -2


class FileError(Error, OSError):
    """A file cannot be opened, read or written."""

    status = -3


class FormatError(Error, ValueError):
    """A file does not hold what it should."""

    status = -4


class DataError(Error, ValueError):
    """NaN or infinity in the inputs, a label outside the classes, or no label."""

    status = -5


class UnsupportedError(Error, NotImplementedError):
    """Not (yet) done by this library or backend."""

    status = -6


class BackendError(Error, RuntimeError):
    """No such backend or device here."""

    status = -7


class CallbackError(Error, RuntimeError):
    """A data callback reported a failure. (An exception of a callback in Python is raised as it is.)"""

    status = -8


class Cancelled(Error):
    """The call's `cancel` said so. `report` tells what was done; the next call goes on with the epoch."""

    status = -9


BY_STATUS: dict[int, type[Error]] = {kind.status: kind for kind in Error.__subclasses__()}
