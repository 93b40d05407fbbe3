# SPDX-License-Identifier: MIT
"""What networks, data sets, optimizers and workspaces have in common, and how numpy and Python's values go across."""
from __future__ import annotations

import ctypes
import os
import weakref
from typing import Any, Callable, Optional, TypeVar, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._abi import Handle as Pointer
from ._abi import library

Self = TypeVar("Self", bound="Handle")
Path = Union[str, "os.PathLike[str]", bytes]


def create(function: Callable[..., None], *arguments: Any) -> int:
    """Calls a function whose last argument is the handle that it makes."""
    out = Pointer()
    function(*arguments, ctypes.byref(out))
    assert out.value is not None
    return out.value


def release(free: Optional[Callable[[int], None]], pointer: int, keep: tuple[Any, ...]) -> None:
    """`keep` is an argument so that what it holds lives until the handle is freed."""
    if free is not None:
        free(pointer)


class Handle:
    """A handle of the library. It is freed by close(), by the end of a `with` block, or with its last reference; the
    handles made from it stay usable."""

    #: the library's function; None: the handle belongs to another
    _free: Optional[str] = None

    def __init__(self, pointer: int, *keep: Any) -> None:
        #: what the library reads through borrowed pointers: arrays, callbacks, and those of the handles this is made of
        self._keep = keep
        free = getattr(library, self._free) if self._free else None
        self._close = weakref.finalize(self, release, free, pointer, keep)
        self._pointer = pointer

    @property
    def handle(self) -> int:
        """The C pointer, for calls that this module lacks."""
        if not self._close.alive:
            raise ValueError(f"this {type(self).__name__.lower()} is closed")
        return self._pointer

    @property
    def closed(self) -> bool:
        return not self._close.alive

    def close(self) -> None:
        """Frees the handle; a second time does nothing."""
        self._close()

    def __enter__(self: Self) -> Self:
        self.handle
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def text(value: Union[str, bytes, None]) -> Optional[bytes]:
    """UTF-8 for the library. It would end at a zero byte, without a word."""
    if value is None:
        return None
    encoded = value if isinstance(value, bytes) else value.encode()
    if b"\0" in encoded:
        raise ValueError(f"a zero byte in {value!r}")
    return encoded


def path(value: Path) -> bytes:
    """A path as the system has it."""
    encoded = text(os.fsencode(value))
    assert encoded is not None
    return encoded


def pointer(array: Optional[NDArray[Any]]) -> Any:
    """A typed pointer to an array's elements; it keeps the array alive. NULL for None."""
    return None if array is None else array.ctypes.data_as(ctypes.POINTER(np.ctypeslib.as_ctypes_type(array.dtype)))


def floats(values: ArrayLike, what: str) -> NDArray[np.float32]:
    """C-contiguous float32: the array itself if it is that already. Integers may be meant as bytes over 255, so they
    have to be converted by who knows."""
    array = np.asarray(values)
    if array.dtype.kind != "f":
        raise TypeError(f"{what} must be floating-point numbers, not {array.dtype}")
    return np.require(array, np.float32, ["C", "A"])


def integers(values: ArrayLike, what: str, shape: tuple[int, ...]) -> NDArray[np.int32]:
    """C-contiguous int32 of a shape: the array itself if it is that already."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{what} must be integers, not {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"{what} have shape {array.shape}; {shape} is needed")
    if array.size and not (-(2**31) <= int(array.min()) and int(array.max()) < 2**31):
        raise OverflowError(f"{what} must fit into 32 bits")
    return np.require(array, np.int32, ["C", "A"])
