# SPDX-License-Identifier: MIT
"""Data sets."""
from __future__ import annotations

import ctypes
import enum
import warnings
from dataclasses import dataclass
from typing import Any, Callable, Optional, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _abi, _structs
from ._abi import library
from ._context import Context
from ._files import File, source
from ._handle import Handle, create, given, integers, pointer, sample_values

#: Delivers inputs and labels for an array of places.
ReadFn = Callable[[NDArray[np.uint64]], "tuple[ArrayLike, ArrayLike]"]


class Part(enum.IntEnum):
    """The two parts of a folder of data."""

    TRAINING = 0
    TEST = 1


class Format(enum.IntEnum):
    """Formats of data files."""

    AUTO = 0
    IDX = 1
    CIFAR10 = 2


class DataType(enum.IntEnum):
    """How inputs in memory are stored."""

    FLOAT32 = 0
    UINT8 = 1


@dataclass(frozen=True)
class Transform:
    """How inputs are changed as they are read: to (value - mean) / deviation, with one of each or one a channel; in
    training mirrored left to right half of the time, and cropped at random after an edge of `crop` values was added."""

    mean: Optional[ArrayLike] = None
    deviation: Optional[ArrayLike] = None
    flip: bool = False
    crop: int = 0

    @classmethod
    def cifar10(cls, part: int = Part.TRAINING) -> Transform:
        """The paper's of CIFAR-10."""
        made = _structs.Transform()
        library.bnnep_transform_init_cifar10(ctypes.byref(made), ctypes.sizeof(made), part)
        mean, deviation = (array(given, made.channel_count) for given in (made.mean, made.deviation))
        return cls(mean, deviation, bool(made.flip), made.crop)


def array(floats: Any, count: int) -> NDArray[np.float32]:
    """A copy of the library's."""
    return np.ctypeslib.as_array(floats, (count,)).copy()


def input_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, height and width of inputs that are vectors, images of one channel, or images."""
    if len(shape) == 1:
        return (shape[0], 1, 1)
    if len(shape) == 2:
        return (1, shape[0], shape[1])
    if len(shape) == 3:
        return (shape[0], shape[1], shape[2])
    raise ValueError(f"an input of shape {shape}: (values,), (height, width) or (channels, height, width) is needed")


MOST_CHECKED = 1 << 20  #: values that are looked at for their scale


class Dataset(Handle):
    """A list of inputs with labels, or without: then they can only be predicted.

    >>> Dataset(images, labels)         # arrays [count, ...] and [count]

    Inputs are [count, values], [count, height, width] or [count, channels, height, width]; uint8 counts as value / 255,
    other numbers as they are. What networks are given should lie between 0 and 1, or about 0 with a deviation of 1.
    Arrays of float32 or uint8 and labels of int32, C-contiguous, are used where they are, without a copy: they are kept
    alive, and must not be changed meanwhile. Others are converted once. Labels are below `classes`; 0: any.
    """

    _free = "bnnep_dataset_free"
    _scale_checked = False
    _asks_back = False  #: inputs come from a callback, which is called for what is trained on alone

    def __init__(
        self,
        inputs: ArrayLike,
        labels: Optional[ArrayLike] = None,
        *,
        classes: int = 0,
        context: Optional[Context] = None,
    ) -> None:
        values = sample_values(inputs)
        channels, height, width = input_shape(values.shape[1:])
        count = len(values)
        named = None if labels is None else integers(labels, "labels", (count,))
        options = _structs.DatasetOptions(
            type=DataType.UINT8 if values.dtype == np.uint8 else DataType.FLOAT32,
            channels=channels,
            height=height,
            width=width,
            classes=classes,
            borrow=True,
        )
        arguments = (given(context), ctypes.byref(options), values.ctypes.data, pointer(named), count)
        super().__init__(create(library.bnnep_dataset_from_memory, *arguments), values, named, context)

    @classmethod
    def _adopt(cls, made: int, *keep: Any) -> Dataset:
        dataset = cls.__new__(cls)
        Handle.__init__(dataset, made, *keep)
        return dataset

    @classmethod
    def open(
        cls,
        file: File,
        part: int = Part.TRAINING,
        *,
        labels: Optional[File] = None,
        format: int = Format.AUTO,
        classes: int = 0,
        context: Optional[Context] = None,
    ) -> Dataset:
        """A folder, of which `part` is read, or a file, or a file's bytes: MNIST's IDX format, plain or gzip, whose
        labels are a file of their own, or CIFAR-10's binary one. Files whose name does not end in ".bin", and bytes,
        are taken for IDX if `format` does not say otherwise."""
        opened = source(file)
        named = None if labels is None else source(labels)
        options = ctypes.byref(
            _structs.OpenOptions(
                labels=None if named is None else ctypes.pointer(named), format=format, part=part, classes=classes
            )
        )
        if opened.path is None:
            made = create(library.bnnep_dataset_from_source, given(context), ctypes.byref(opened), options)
        else:
            made = create(library.bnnep_dataset_open, given(context), opened.path, options)
        return cls._adopt(made, context)

    @classmethod
    def from_callback(
        cls,
        read: ReadFn,
        count: int,
        shape: tuple[int, ...],
        *,
        classes: int = 0,
        context: Optional[Context] = None,
    ) -> Dataset:
        """`count` inputs of `shape` that `read` delivers as they are needed. Its exceptions come out of the call that
        needed them."""
        channels, height, width = input_shape(shape)
        options = _structs.DatasetOptions(channels=channels, height=height, width=width, classes=classes)
        values = channels * height * width

        def deliver(_: Any, asked: Any) -> int:
            try:
                batch = asked[0]
                wanted = batch.count
                inputs, labels = read(np.ctypeslib.as_array(batch.indices, (wanted,)).copy())
                if batch.inputs:
                    np.ctypeslib.as_array(batch.inputs, (wanted, values))[:] = np.reshape(inputs, (wanted, values))
                if batch.labels:
                    np.ctypeslib.as_array(batch.labels, (wanted,))[:] = integers(labels, "labels", (wanted,))
                return 0
            except BaseException as error:
                _abi.remember(error)
                return 1

        function = _structs.ReadFn(deliver)
        arguments = (given(context), ctypes.byref(options), function, None, count)
        dataset = cls._adopt(create(library.bnnep_dataset_from_callback, *arguments), function, context)
        dataset._asks_back = True
        return dataset

    @classmethod
    def concat(cls, datasets: Sequence[Dataset]) -> Dataset:
        """The inputs of data sets of one shape, one set after the other, sharing the memory."""
        handles = (_structs.Handle * len(datasets))(*(dataset.handle for dataset in datasets))
        made = cls._adopt(create(library.bnnep_dataset_concat, handles, len(datasets)), *(each._keep for each in datasets))
        made._asks_back = any(each._asks_back for each in datasets)
        return made

    def _derive(self, made: int) -> Dataset:
        """What shares the memory of this one."""
        dataset = self._adopt(made, *self._keep)
        dataset._asks_back = self._asks_back
        return dataset

    def subset(self, first: int, count: int) -> Dataset:
        """The `count` inputs from place `first` on, sharing the memory."""
        return self._derive(create(library.bnnep_dataset_subset, self.handle, first, count))

    def select(self, indices: ArrayLike) -> Dataset:
        """The inputs at these places, in their order, any of them any number of times; shares the memory."""
        places = integers(indices, "indices", (np.size(indices),), np.uint64)
        return self._derive(create(library.bnnep_dataset_select, self.handle, pointer(places), len(places)))

    def transformed(self, transform: Transform) -> Dataset:
        """The same inputs, transformed as they are read, sharing the memory."""
        channels = self.shape[0]
        mean, deviation = (
            None if value is None else np.require(np.broadcast_to(np.asarray(value, np.float32), channels), None, "C")
            for value in (transform.mean, transform.deviation)
        )
        options = _structs.Transform(
            mean=pointer(mean),
            deviation=pointer(deviation),
            channel_count=channels,
            flip=transform.flip,
            crop=transform.crop,
        )
        made = create(library.bnnep_dataset_transformed, self.handle, ctypes.byref(options))
        return self._derive(made)

    def _warn_if_unscaled(self) -> None:
        """Before it is trained on: warns, once, of inputs that nobody seems to have scaled."""
        if self._scale_checked or self._asks_back or len(self) == 0:
            return
        self._scale_checked = True
        most_samples = max(MOST_CHECKED // int(np.prod(self.shape)), 1)
        values = self.read(0, min(len(self), most_samples))[0]
        least, most = float(values.min()), float(values.max())
        if (least >= 0 and not 0.05 < most < 1.5 and most != 0) or max(most, -least) > 100:
            warnings.warn(
                f"inputs lie between {least:g} and {most:g}; networks learn from values between 0 and 1, or about 0 with a "
                "deviation of 1: divide them, or see Dataset.transformed()",
                stacklevel=3,
            )

    def _info(self) -> _structs.DatasetInfo:
        info = _structs.DatasetInfo()
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
    def labelled(self) -> bool:
        return bool(self._info().labelled)

    @property
    def normalisation(self) -> Optional[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Mean and deviation of each channel, or None."""
        info = self._info()
        return (array(info.mean, info.channels), array(info.deviation, info.channels)) if info.mean else None

    def read(self, first: int = 0, count: Optional[int] = None) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Inputs [count, channels, height, width] and labels, -1 where there are none, from place `first` on; by
        default all that are left."""
        wanted = max(len(self) - first, 0) if count is None else count
        inputs = np.empty((wanted, *self.shape), np.float32)
        labels = np.empty(wanted, np.int32)
        library.bnnep_dataset_read(self.handle, first, wanted, pointer(inputs), pointer(labels))
        return inputs, labels
