# SPDX-License-Identifier: MIT
"""Networks and their parameters."""
from __future__ import annotations

import ctypes
import enum
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Optional, Sequence, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _structs
from ._abi import library
from ._context import Context
from ._data import Dataset, input_shape
from ._files import File, source, to_bytes
from ._handle import Handle, Path, batch, create, floats, given, path, pointer, text
from ._training import CancelFn, ProgressFn, Report, blank, run
from ._workspace import Workspace

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Dynamics(enum.IntEnum):
    """The two kinds of dynamics of the paper."""

    REAL = 0
    BINARY = 1


class Schedule(enum.IntEnum):
    """Which layers move in a time step."""

    SYNCHRONOUS = 0
    ALTERNATING = 1
    OVER_RELAXED = 2


class Start(enum.IntEnum):
    """Initial values."""

    PAPER = 0
    BALANCED = 1


class Readout(enum.IntEnum):
    """How the output units of a class are read."""

    AVERAGE = 0
    SINGLE = 1


class Kind(enum.IntEnum):
    """Kinds of connections."""

    FULL = 0
    CONVOLUTION = 1


@dataclass(frozen=True)
class Connection:
    """One connection of a network's description; fc() and conv() write it."""

    kind: int
    outputs: int
    kernel: int = 0
    padding: int = 0
    pool: int = 0


def fc(outputs: int) -> Connection:
    """A fully connected layer of so many units."""
    return Connection(Kind.FULL, outputs)


def conv(channels: int, kernel: int, padding: int = 0, pool: int = 0) -> Connection:
    """A convolution of stride 1 to so many channels, and max-pooling; they come before all fully connected layers."""
    return Connection(Kind.CONVOLUTION, channels, kernel, padding, pool)


class NetworkOptions(TypedDict, total=False):
    """What a network can be given by keyword; 0 are the library's defaults. Meaning, ranges and units:
    bnnep_network_options in bnnep.h."""

    dynamics: int  #: Dynamics.REAL or Dynamics.BINARY
    classes: int  #: not given: as many as the last layer has units, by expand_output
    expand_output: int  #: output units a class
    theta: float  #: threshold of binary activations
    gamma_neur: float  #: leak of the states with binary activations
    free_steps: int  #: time steps of the free phase
    settle_tolerance: float  #: samples that change by no more go no further; negative: always all steps
    max_batch: int  #: largest batch to train on, and how many samples are relaxed at once
    seed: int  #: initial weights and biases are drawn by it
    grid_bits: int  #: states on a grid of 2^-grid_bits
    schedule: int  #: Schedule.SYNCHRONOUS, ALTERNATING or OVER_RELAXED
    start: int  #: Start.PAPER, or Start.BALANCED for deep networks and the optimizer's default rule
    feedback: float  #: strength of what layers receive from above; 1: the paper's; 0: as goes with `start`


class Parameters:
    """The parameters of one connection, copied out and in as numpy arrays."""

    def __init__(self, network: Network, index: int) -> None:
        info = _structs.ConnectionInfo()
        library.bnnep_network_get_connection(network.handle, index, ctypes.byref(info))
        self._network, self._index = network, index
        self.kind = Kind(info.kind)
        self.rows, self.columns, self.scales = int(info.rows), int(info.columns), int(info.scales)
        #: units of the layer that it leads to, and their channels, height and width
        self.units = int(info.units)
        self.shape = (int(info.channels), int(info.height), int(info.width))

    def _get(self, what: str, shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
        values = np.empty(shape, kind)
        get = getattr(library, f"bnnep_network_get_{what}")
        get(self._network.handle, self._index, pointer(values), values.size)
        return values

    def _set(self, what: str, shape: tuple[int, ...], values: NDArray[Any]) -> None:
        if values.shape != shape:
            raise ValueError(f"{what} of shape {values.shape}; {shape} is needed")
        put = getattr(library, f"bnnep_network_set_{what}")
        put(self._network.handle, self._index, pointer(values), values.size)

    @property
    def signs(self) -> NDArray[np.int8]:
        """Signs, +1 and -1, [rows, columns]. Columns of a convolution are input channel, kernel row, kernel column."""
        return self._get("signs", (self.rows, self.columns), np.int8)

    @signs.setter
    def signs(self, values: ArrayLike) -> None:
        given = np.asarray(values)
        if not np.isin(given, (-1, 1)).all():  # before a conversion to bytes could make such a value of another
            raise ValueError("signs must be +1 or -1")
        self._set("signs", (self.rows, self.columns), np.require(given, np.int8, "C"))

    @property
    def sign_bits(self) -> NDArray[np.uint8]:
        """The same as bits, [rows, ceil(columns / 8)]: least significant bit first, 1 means +1."""
        return self._get("sign_bits", (self.rows, -(-self.columns // 8)), np.uint8)

    @sign_bits.setter
    def sign_bits(self, values: NDArray[np.uint8]) -> None:
        if np.asarray(values).dtype != np.uint8:
            raise TypeError("sign bits must be uint8")
        self._set("sign_bits", (self.rows, -(-self.columns // 8)), np.require(values, np.uint8, "C"))

    @property
    def alpha(self) -> NDArray[np.float32]:
        """Scaling factors, [scales]."""
        return self._get("alpha", (self.scales,), np.float32)

    @alpha.setter
    def alpha(self, values: ArrayLike) -> None:
        self._set("alpha", (self.scales,), floats(values, "alpha"))

    @property
    def bias(self) -> NDArray[np.float32]:
        """Biases, [rows]."""
        return self._get("bias", (self.rows,), np.float32)

    @bias.setter
    def bias(self, values: ArrayLike) -> None:
        self._set("bias", (self.rows,), floats(values, "bias"))


class Network(Handle):
    """A network with initial values drawn by `seed`.

    >>> Network((1, 28, 28), [fc(4096), fc(10)])
    >>> Network([64, 200, 10])      # the same as Network((64,), [fc(200), fc(10)])

    There are as many classes as the last layer has units, by `expand_output`, if `classes` is not given. `input_shape` is (values,), (height, width) or (channels, height, width); the options are those of NetworkOptions.
    """

    _free = "bnnep_network_free"

    def __init__(
        self,
        input_shape: Sequence[int],
        connections: Optional[Sequence[Connection]] = None,
        *,
        context: Optional[Context] = None,
        **options: Unpack[NetworkOptions],
    ) -> None:
        if connections is None and isinstance(input_shape, tuple):
            raise TypeError(f"Network({input_shape}) lacks its connections; units alone come in a list: Network([64, 200, 10])")
        if connections is None:
            input_shape, connections = input_shape[:1], [fc(units) for units in input_shape[1:]]
        described = ctypes.byref(_options(input_shape, connections, **options))
        super().__init__(create(library.bnnep_network_create, given(context), described), context)

    @classmethod
    def _adopt(cls, made: int, *keep: Any) -> Network:
        network = cls.__new__(cls)
        Handle.__init__(network, made, *keep)
        return network

    @classmethod
    def load(cls, file: File, *, context: Optional[Context] = None, max_batch: int = 0) -> Network:
        """The network of a network file or a checkpoint, or of its bytes."""
        opened, options = source(file), _structs.LoadOptions(max_batch=max_batch)
        arguments = (given(context), ctypes.byref(opened), ctypes.byref(options))
        return cls._adopt(create(library.bnnep_network_read, *arguments), context)

    def save(self, file: Path, note: Optional[str] = None) -> None:
        """Writes the network for inference: signs, scaling factors, biases."""
        library.bnnep_network_save(self.handle, path(file), text(note))

    def to_bytes(self, note: Optional[str] = None) -> bytes:
        """What save() would write."""
        return to_bytes(library.bnnep_network_write, self.handle, note)

    def clone(self, context: Optional[Context] = None) -> Network:
        """A network with the same parameters, in `context`; None: in that of this one."""
        made = create(library.bnnep_network_clone, self.handle, given(context))
        return self._adopt(made, *(self._keep if context is None else (context,)))

    @property
    def info(self) -> NetworkInfo:
        info = _structs.NetworkInfo()
        library.bnnep_network_get_info(self.handle, ctypes.byref(info))
        return info.into(
            NetworkInfo,
            backend=info.backend.decode(),
            dynamics=Dynamics(info.dynamics),
            schedule=Schedule(info.schedule),
            input_shape=(info.input_channels, info.input_height, info.input_width),
        )

    @property
    def connections(self) -> list[Parameters]:
        """The parameters of each connection, input first."""
        return [Parameters(self, index) for index in range(self.info.connection_count)]

    def set_relaxation(self, free_steps: int = 0, settle_tolerance: float = 0.0) -> None:
        """Changes how long the free phase is, and when phases end early."""
        library.bnnep_network_set_relaxation(self.handle, free_steps, settle_tolerance)

    @property
    def workspace(self) -> Workspace:
        """The network's own workspace, in which training leaves its states."""
        return Workspace._own(self)

    def evaluate(
        self,
        dataset: Dataset,
        batch_size: int = 0,
        *,
        confusion: bool = False,
        predictions: bool = False,
        workspace: Optional[Workspace] = None,
        progress: Optional[ProgressFn] = None,
        cancel: Optional[CancelFn] = None,
    ) -> Report:
        """Relaxes all of `dataset` freely and counts the errors. Without labels there are only predictions."""
        report = blank(
            confusion=self.info.classes**2 if confusion else 0, predictions=len(dataset) if predictions else 0
        )
        how = {"workspace": given(workspace), "batch_size": batch_size}
        handles = (self.handle, dataset.handle)
        return run(library.bnnep_network_evaluate, handles, report, progress, cancel, **how)

    def predict(
        self, inputs: ArrayLike, *, readout: int = Readout.AVERAGE, workspace: Optional[Workspace] = None
    ) -> NDArray[np.int32]:
        """The class of each input, [count]: the one with the largest score, the lowest if several are."""
        return self._predict(inputs, readout, workspace)[1]

    def scores(
        self, inputs: ArrayLike, *, readout: int = Readout.AVERAGE, workspace: Optional[Workspace] = None
    ) -> NDArray[np.float32]:
        """What is read for each class, [count, classes]."""
        return self._predict(inputs, readout, workspace)[0]

    def _predict(
        self, inputs: ArrayLike, readout: int, workspace: Optional[Workspace]
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        info = self.info
        values = batch(inputs, info.inputs, "inputs")
        scores = np.empty((len(values), info.classes), np.float32)
        classes = np.empty(len(values), np.int32)
        how = _structs.RunOptions(workspace=given(workspace), readout=readout)
        library.bnnep_network_predict(
            self.handle, pointer(values), len(values), ctypes.byref(how), pointer(scores), pointer(classes)
        )
        return scores, classes


@dataclass(frozen=True)
class NetworkInfo:
    """What a network is."""

    backend: str
    connection_count: int
    layer_count: int
    inputs: int
    outputs: int
    weights: int
    theta: float
    gamma_neur: float
    settle_tolerance: float
    dynamics: Dynamics
    classes: int
    expand_output: int
    max_batch: int
    free_steps: int
    grid_bits: int
    schedule: Schedule
    feedback: float
    input_shape: tuple[int, int, int]


def memory_needed(
    input_shape: Sequence[int],
    connections: Sequence[Connection],
    *,
    trained: bool = True,
    context: Optional[Context] = None,
    **options: Unpack[NetworkOptions],
) -> int:
    """Bytes that a network of this description will take, with its workspace and an optimizer. Nothing is allocated."""
    count = ctypes.c_uint64()
    described = _options(input_shape, connections, **options)
    library.bnnep_network_memory(given(context), ctypes.byref(described), trained, ctypes.byref(count))
    return count.value


def _options(
    shape: Sequence[int], connections: Sequence[Connection], **options: Unpack[NetworkOptions]
) -> _structs.NetworkOptions:
    channels, height, width = input_shape(tuple(shape))
    units = options.get("expand_output") or 1
    if connections and not options.get("classes") and connections[-1].outputs % units == 0:
        options["classes"] = connections[-1].outputs // units
    described = [_structs.Connection(**asdict(connection)) for connection in connections]
    return _structs.NetworkOptions(
        input_channels=channels,
        input_height=height,
        input_width=width,
        connections=(_structs.Connection * len(described))(*described),
        connection_count=len(described),
        **options,
    )
