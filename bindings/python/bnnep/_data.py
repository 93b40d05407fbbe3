# SPDX-License-Identifier: MIT
"""Data sets."""
from __future__ import annotations

import ctypes
import enum
from typing import Any, Callable, Optional

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _abi
from ._abi import library
from ._handle import Handle, Path, create, integers, path, pointer

#: Delivers inputs and labels for an array of places.
ReadFn = Callable[[NDArray[np.uint64]], "tuple[ArrayLike, ArrayLike]"]


class Part(enum.IntEnum):
    """The two parts of a folder of data."""

    TRAINING = 0
    TEST = 1


class DataType(enum.IntEnum):
    """How inputs in memory are stored."""

    FLOAT32 = 0
    UINT8 = 1


def input_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, height and width of inputs that are vectors, images of one channel, or images."""
    if len(shape) == 1:
        return (shape[0], 1, 1)
    if len(shape) == 2:
        return (1, shape[0], shape[1])
    if len(shape) == 3:
        return (shape[0], shape[1], shape[2])
    raise ValueError(f"an input of shape {shape}: (values,), (height, width) or (channels, height, width) is needed")


class Dataset(Handle):
    """A list of labelled inputs.

    >>> Dataset(images, labels)         # arrays [count, ...]; labels None: all 0, for inputs to be predicted

    Inputs are [count, values], [count, height, width] or [count, channels, height, width]; uint8 counts as value / 255.
    Arrays of float32 or uint8 and labels of int32, C-contiguous, are used where they are, without a copy: they are kept
    alive, and must not be changed meanwhile. Others are converted once. `copy` makes a copy in any case.
    """

    _free = "bnnep_dataset_free"

    def __init__(
        self, inputs: ArrayLike, labels: Optional[ArrayLike] = None, *, classes: int = 0, copy: bool = False
    ) -> None:
        values = np.asarray(inputs)
        if values.dtype.kind != "f" and values.dtype != np.uint8:
            raise TypeError(f"inputs must be floating-point numbers or uint8, not {values.dtype}")
        values = np.require(values, np.uint8 if values.dtype == np.uint8 else np.float32, ["C", "A"])
        channels, height, width = input_shape(values.shape[1:])
        count = len(values)
        named = np.zeros(count, np.int32) if labels is None else integers(labels, "labels", (count,))
        options = _abi.DatasetOptions(
            type=DataType.UINT8 if values.dtype == np.uint8 else DataType.FLOAT32,
            channels=channels,
            height=height,
            width=width,
            classes=classes,
            copy=copy,
        )
        made = create(
            library.bnnep_dataset_from_memory, ctypes.byref(options), values.ctypes.data, pointer(named), count
        )
        super().__init__(made, *(() if copy else (values, named)))

    @classmethod
    def _adopt(cls, made: int, *keep: Any) -> Dataset:
        dataset = cls.__new__(cls)
        Handle.__init__(dataset, made, *keep)
        return dataset

    @classmethod
    def from_folder(cls, folder: Path, part: int = Part.TRAINING, *, classes: int = 10) -> Dataset:
        """A folder laid out as MNIST: four IDX files, each plain or gzip."""
        return cls._adopt(create(library.bnnep_dataset_from_folder, path(folder), part, classes))

    @classmethod
    def from_idx(cls, images: Path, labels: Optional[Path] = None, *, classes: int = 0) -> Dataset:
        """Two files in the IDX format, plain or gzip."""
        named = None if labels is None else path(labels)
        return cls._adopt(create(library.bnnep_dataset_from_idx, path(images), named, classes))

    @classmethod
    def from_cifar10(cls, folder: Path, part: int = Part.TRAINING) -> Dataset:
        """A folder with CIFAR-10 in its binary format; normalised, the training set flipped and cropped at random."""
        return cls._adopt(create(library.bnnep_dataset_from_cifar10, path(folder), part))

    @classmethod
    def from_callback(cls, read: ReadFn, count: int, shape: tuple[int, ...], *, classes: int = 0) -> Dataset:
        """`count` inputs of `shape` that `read` delivers as they are needed. Its exceptions come out of the call that
        needed them."""
        channels, height, width = input_shape(shape)
        options = _abi.DatasetOptions(channels=channels, height=height, width=width, classes=classes)
        values = channels * height * width

        def deliver(_: Any, indices: Any, wanted: int, inputs: Any, labels: Any) -> int:
            try:
                given, named = read(np.ctypeslib.as_array(indices, (wanted,)).copy())
                if inputs:
                    np.ctypeslib.as_array(inputs, (wanted, values))[:] = np.reshape(given, (wanted, values))
                if labels:
                    np.ctypeslib.as_array(labels, (wanted,))[:] = integers(named, "labels", (wanted,))
                return 0
            except BaseException as error:
                _abi.remember(error)
                return 1

        function = _abi.ReadFn(deliver)
        made = create(library.bnnep_dataset_from_callback, ctypes.byref(options), function, None, count)
        return cls._adopt(made, function)

    def subset(self, first: int, count: int) -> Dataset:
        """The `count` inputs from place `first` on, sharing the memory."""
        return self._adopt(create(library.bnnep_dataset_subset, self.handle, first, count), *self._keep)

    def shuffled(self, seed: int) -> Dataset:
        """The same inputs in an order drawn by `seed`, sharing the memory."""
        return self._adopt(create(library.bnnep_dataset_shuffled, self.handle, seed), *self._keep)

    def transformed(
        self,
        mean: Optional[ArrayLike] = None,
        deviation: Optional[ArrayLike] = None,
        *,
        flip: bool = False,
        crop: int = 0,
    ) -> Dataset:
        """The same inputs, normalised for each channel; in training mirrored and cropped at random."""
        channels = (self.shape[0],)
        given = [
            None if value is None else np.require(np.broadcast_to(np.asarray(value, np.float32), channels), None, "C")
            for value in (mean, deviation)
        ]
        transform = _abi.Transform(mean=pointer(given[0]), deviation=pointer(given[1]), flip=flip, crop=crop)
        made = create(library.bnnep_dataset_transformed, self.handle, ctypes.byref(transform))
        return self._adopt(made, *self._keep)

    def _info(self) -> _abi.DatasetInfo:
        info = _abi.DatasetInfo()
        library.bnnep_dataset_get_info(self.handle, ctypes.byref(info))
        return info

    def __len__(self) -> int:
        return int(self._info().count)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an input."""
        info = self._info()
        return (info.channels, info.height, info.width)

    @property
    def classes(self) -> int:
        """As declared; else largest label + 1; 0 if not known."""
        return int(self._info().classes)

    @property
    def normalisation(self) -> Optional[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Mean and deviation of each channel, or None."""
        info = self._info()
        if not info.mean:
            return None
        mean, deviation = (np.ctypeslib.as_array(part, (info.channels,)).copy() for part in (info.mean, info.deviation))
        return mean, deviation

    def read(self, first: int = 0, count: Optional[int] = None) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Inputs [count, channels, height, width] and labels from place `first` on; by default all that are left."""
        wanted = max(len(self) - first, 0) if count is None else count
        inputs = np.empty((wanted, *self.shape), np.float32)
        labels = np.empty(wanted, np.int32)
        library.bnnep_dataset_read(self.handle, first, wanted, pointer(inputs), pointer(labels))
        return inputs, labels
