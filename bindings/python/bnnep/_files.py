# SPDX-License-Identifier: MIT
"""Files, and bytes in their place."""
from __future__ import annotations

import ctypes
from typing import Callable, Optional, Union

from . import _structs
from ._abi import library
from ._handle import Path, path, text

#: The path of a file, or what the file would hold.
File = Union[Path, bytes, bytearray, memoryview]


def source(file: File) -> _structs.Source:
    """Where the library reads."""
    if not isinstance(file, (bytes, bytearray, memoryview)):
        return _structs.Source(path=path(file))
    contents = bytes(file)  # the same if they are bytes; the structure keeps them
    return _structs.Source(bytes=ctypes.cast(ctypes.c_char_p(contents), ctypes.c_void_p), count=len(contents))


def to_bytes(write: Callable[..., None], handle: int, note: Optional[str]) -> bytes:
    """What `write` would write to a file."""
    count = ctypes.c_uint64()
    write(handle, ctypes.byref(_structs.Sink(count=ctypes.pointer(count))), text(note))  # only counted
    room = ctypes.create_string_buffer(count.value)
    write(handle, ctypes.byref(_structs.Sink(bytes=ctypes.addressof(room), room=count.value)), text(note))
    return room.raw


def file_text(file: File, key: str = "note") -> str:
    """A text of the metadata of a checkpoint or network file (docs/format.md), such as its note; "" if it has none."""
    opened, length = source(file), ctypes.c_size_t()
    library.bnnep_source_text(ctypes.byref(opened), text(key), None, 0, ctypes.byref(length))
    found = ctypes.create_string_buffer(length.value + 1)
    library.bnnep_source_text(ctypes.byref(opened), text(key), found, len(found), None)
    return found.value.decode(errors="surrogateescape")
