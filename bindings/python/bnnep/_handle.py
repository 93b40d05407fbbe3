# SPDX-License-Identifier: MIT
"""What all handles have in common, and how numpy's and Python's values go across."""
from __future__ import annotations

import ctypes
import os
import weakref
from typing import Any, Callable, Optional, TypeVar, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _structs
from ._abi import library

Self = TypeVar("Self", bound="Handle")
Path = Union[str, "os.PathLike[str]"]


def create(function: Callable[..., None], *arguments: Any) -> int:
    """Calls a function whose last argument is the handle that it makes."""
    out = _structs.Handle()
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


def given(handle: Optional[Handle]) -> Optional[int]:
    """The C pointer, NULL for None."""
    return None if handle is None else handle.handle


def text(value: Optional[str]) -> Optional[bytes]:
    """UTF-8 for the library; NULL for None."""
    return None if value is None else without_zero(value.encode())


def path(value: Path) -> bytes:
    """A path as the system has it."""
    if isinstance(value, bytes):
        raise TypeError("a path is a str or an os.PathLike; bytes are the contents of a file")
    return without_zero(os.fsencode(value))


def without_zero(value: bytes) -> bytes:
    """The library would end at a zero byte, without a word."""
    if b"\0" in value:
        raise ValueError(f"a zero byte in {value!r}")
    return value


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


def sample_values(values: ArrayLike) -> NDArray[Any]:
    """C-contiguous float32, or uint8, which counts as value / 255; other numbers and bools as float32."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"inputs must be numbers, not {array.dtype}")
    return np.require(array, np.uint8 if array.dtype == np.uint8 else np.float32, ["C", "A"])


def batch(values: ArrayLike, width: int, what: str) -> NDArray[np.float32]:
    """Inputs as floats [count, width]; the samples may have any shape of so many values."""
    array = sample_values(values)
    return rows(array if array.dtype == np.float32 else array / np.float32(255), width, what)


def rows(values: ArrayLike, width: int, what: str) -> NDArray[np.float32]:
    """Floats [count, width]; as batch(), but bytes are refused."""
    array = floats(values, what)
    if array.ndim < 2 or int(np.prod(array.shape[1:])) != width:
        raise ValueError(f"{what} of shape {array.shape}; [count, ...] with {width} values a sample is needed")
    return array.reshape(len(array), width)


def integers(values: ArrayLike, what: str, shape: tuple[int, ...], kind: Any = np.int32) -> NDArray[Any]:
    """C-contiguous integers of a shape: the array itself if it is that already."""
    array, limits = np.asarray(values), np.iinfo(kind)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{what} must be integers, not {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"{what} have shape {array.shape}; {shape} is needed")
    if array.size and not (limits.min <= int(array.min()) and int(array.max()) <= limits.max):
        raise OverflowError(f"{what} must fit into {limits.dtype}")
    return np.require(array, kind, ["C", "A"])
