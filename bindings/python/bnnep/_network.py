# SPDX-License-Identifier: MIT
"""Networks, their parameters and their states."""
from __future__ import annotations

import ctypes
import enum
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Callable, Optional, Sequence, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _abi
from ._abi import library
from ._data import Dataset, input_shape
from ._handle import Handle, Path, create, floats, path, pointer, text
from ._training import CancelFn, ProgressFn, Report, run

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Receives a level (1 warning, 2 notice) and a line.
LogFn = Callable[[int, str], Any]


class Dynamics(enum.IntEnum):
    """The two kinds of dynamics of the paper."""

    REAL_ACTIVATIONS = 0
    BINARY_ACTIVATIONS = 1


class Readout(enum.IntEnum):
    """How the output units of a class are read."""

    AVERAGE = 0
    SINGLE = 1


class Phase(enum.IntEnum):
    """Whose states."""

    FREE = 0
    NUDGED = 1


class Kind(enum.IntEnum):
    """Kinds of connections."""

    FULLY_CONNECTED = 0
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
    return Connection(Kind.FULLY_CONNECTED, outputs)


def conv(channels: int, kernel: int, padding: int, pool: int) -> Connection:
    """A convolution of stride 1 to so many channels, and max-pooling; they come before all fully connected layers."""
    return Connection(Kind.CONVOLUTION, channels, kernel, padding, pool)


class NetworkOptions(TypedDict, total=False):
    """What a network can be given by keyword. Ranges and units: bnnep_network_options in bnnep.h."""

    dynamics: int  #: default Dynamics.REAL_ACTIVATIONS
    classes: int  #: default 10
    expand_output: int  #: output units a class; default 1
    theta: float  #: threshold of binary activations; default 0.5
    gamma_neur: float  #: leak of the states with binary activations; default 0.5
    free_steps: int  #: time steps of the free phase; default 50
    settle_tolerance: float  #: samples that change by no more go no further; default 0, negative: always all steps
    max_batch: int  #: largest batch to train on, and how many samples are relaxed at once; default 64
    seed: int  #: initial weights and biases are drawn by it; default 0
    backend: str  #: "auto" (default), "ref", "cpu", "cpu:threads=4", ...
    log: Optional[LogFn]  #: receives warnings and notices
    grid_bits: int  #: states on a grid; default 0, not


class Parameters:
    """The parameters of one connection, copied out and in as numpy arrays."""

    def __init__(self, network: Network, index: int) -> None:
        info = _abi.ConnectionInfo()
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

    `input_shape` is (values,), (height, width) or (channels, height, width); the options are those of NetworkOptions.
    """

    _free = "bnnep_network_free"

    def __init__(
        self, input_shape: tuple[int, ...], connections: Sequence[Connection], **options: Unpack[NetworkOptions]
    ) -> None:
        made = _options(input_shape, connections, **options)
        super().__init__(create(library.bnnep_network_create, ctypes.byref(made)), made.log)

    @classmethod
    def load(cls, file: Path, **options: Unpack[NetworkOptions]) -> Network:
        """The network of a network file or a checkpoint. Of the options only backend, log, max_batch and seed count."""
        like = _options((1,), (), **options)
        network = cls.__new__(cls)
        made = create(library.bnnep_network_load, path(file), ctypes.byref(like))
        Handle.__init__(network, made, like.log)
        return network

    def save(self, file: Path, note: Optional[str] = None) -> None:
        """Writes the network for inference: signs, scaling factors, biases."""
        library.bnnep_network_save(self.handle, path(file), text(note))

    @property
    def info(self) -> NetworkInfo:
        info = _abi.NetworkInfo()
        library.bnnep_network_get_info(self.handle, ctypes.byref(info))
        return NetworkInfo(
            **{name: getattr(info, name) for name in NetworkInfo.__annotations__ if hasattr(info, name)}
            | {
                "backend": info.backend.decode(),
                "dynamics": Dynamics(info.dynamics),
                "input_shape": (info.input_channels, info.input_height, info.input_width),
            }
        )

    @property
    def connections(self) -> list[Parameters]:
        """The parameters of each connection, input first."""
        return [Parameters(self, index) for index in range(self.info.connections)]

    def set_relaxation(self, free_steps: int, settle_tolerance: float = 0.0) -> None:
        """Changes how long the free phase is, and when it ends early."""
        library.bnnep_network_set_relaxation(self.handle, free_steps, settle_tolerance)

    @property
    def workspace(self) -> Workspace:
        """The network's own workspace, in which training leaves its states."""
        return Workspace._own(self)

    def evaluate(
        self,
        dataset: Dataset,
        *,
        workspace: Optional[Workspace] = None,
        progress: Optional[ProgressFn] = None,
        cancel: Optional[CancelFn] = None,
    ) -> Report:
        """Relaxes all of `dataset` freely and counts the errors."""
        handles = (self.handle, workspace and workspace.handle, dataset.handle)
        return run(library.bnnep_evaluate, handles, self.info.connections, progress, cancel)

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
        where = workspace and workspace.handle
        library.bnnep_predict(
            self.handle, where, pointer(values), len(values), readout, pointer(scores), pointer(classes)
        )
        return scores, classes


@dataclass(frozen=True)
class NetworkInfo:
    """What a network is."""

    backend: str
    connections: int
    inputs: int
    outputs: int
    weights: int
    dynamics: Dynamics
    classes: int
    expand_output: int
    max_batch: int
    free_steps: int
    settle_tolerance: float
    input_shape: tuple[int, int, int]
    grid_bits: int


def memory_needed(
    input_shape: tuple[int, ...],
    connections: Sequence[Connection],
    *,
    trained: bool = True,
    **options: Unpack[NetworkOptions],
) -> int:
    """Bytes that a network of this description will take, with its workspace and an optimizer. Nothing is allocated."""
    count = ctypes.c_uint64()
    made = _options(input_shape, connections, **options)
    library.bnnep_network_memory(ctypes.byref(made), trained, ctypes.byref(count))
    return count.value


def _options(
    shape: tuple[int, ...], connections: Sequence[Connection], **options: Unpack[NetworkOptions]
) -> _abi.NetworkOptions:
    channels, height, width = input_shape(shape)
    described = [_abi.Connection(**asdict(connection)) for connection in connections]
    values: dict[str, Any] = dict(options)
    values["backend"] = text(options.get("backend"))
    log = values.pop("log", None)
    if log is not None:
        values["log"] = _abi.LogFn(lambda _, level, line: log(level, line.decode(errors="replace")))
    return _abi.NetworkOptions(
        input_channels=channels,
        input_height=height,
        input_width=width,
        connections=(_abi.Connection * len(described))(*described),
        connection_count=len(described),
        **values,
    )


def batch(values: ArrayLike, width: int, what: str) -> NDArray[np.float32]:
    """Floats [count, width]; the samples may have any shape of so many values."""
    array = floats(values, what)
    if array.ndim < 2 or int(np.prod(array.shape[1:])) != width:
        raise ValueError(f"{what} of shape {array.shape}; [count, ...] with {width} values a sample is needed")
    return array.reshape(len(array), width)


@dataclass(frozen=True)
class Relaxed:
    """What a phase took."""

    sample_steps: int  #: time steps done, summed over the samples
    most_steps: int  #: the largest number a sample took


class Workspace(Handle):
    """Where states are kept. With one of its own, each of several threads may predict and evaluate by one network."""

    _free: Optional[str] = "bnnep_workspace_free"

    def __init__(self, network: Network, *, max_batch: int = 0, threads: int = 0) -> None:
        options = _abi.WorkspaceOptions(max_batch=max_batch, threads=threads)
        super().__init__(
            create(library.bnnep_workspace_create, network.handle, ctypes.byref(options)), *network._keep
        )
        self._describe(network)

    @classmethod
    def _own(cls, network: Network) -> Workspace:
        """The network owns it: it is not freed, and keeps the network open."""
        workspace = cls.__new__(cls)
        workspace._free = None
        Handle.__init__(workspace, library.bnnep_network_workspace(network.handle), network)
        workspace._describe(network)
        return workspace

    def _describe(self, network: Network) -> None:
        self._outputs = network.info.outputs
        self._units = [network.info.inputs] + [connection.units for connection in network.connections]

    @property
    def handle(self) -> int:
        if self._free is None:
            self._keep[0].handle  # says so if the network is closed
        return super().handle

    def stage(self, inputs: ArrayLike, targets: Optional[ArrayLike] = None) -> None:
        """Clamps a batch, and targets [count, outputs] for a nudged phase; sets the free states to their start."""
        values = batch(inputs, self._units[0], "inputs")
        wanted = None if targets is None else batch(targets, self._outputs, "targets")
        if wanted is not None and len(wanted) != len(values):
            raise ValueError(f"{len(values)} inputs, but {len(wanted)} targets")
        library.bnnep_stage(self.handle, pointer(values), pointer(wanted), len(values))

    def relax(
        self, steps: int, *, start: int = Phase.FREE, to: int = Phase.FREE, beta: float = 0.0
    ) -> Relaxed:
        """Goes on for `steps` time steps from the states of phase `start`, nudged by `beta`, and leaves the result in
        phase `to`."""
        relaxed = _abi.Relaxed()
        library.bnnep_relax(self.handle, start, to, steps, beta, ctypes.byref(relaxed))
        return Relaxed(relaxed.sample_steps, relaxed.most_steps)

    def state(self, layer: int, samples: int, phase: int = Phase.FREE) -> NDArray[np.float32]:
        """States of a layer (1 ... connections) after a phase, [samples, units]; `samples` as many as are staged."""
        states = np.empty((samples, self._width(layer)), np.float32)
        library.bnnep_workspace_get_state(self.handle, phase, layer, pointer(states), states.size)
        return states

    def set_state(self, layer: int, states: ArrayLike, phase: int = Phase.FREE) -> None:
        """Sets the states of a layer, [samples staged, units]."""
        values = batch(states, self._width(layer), "states")
        library.bnnep_workspace_set_state(self.handle, phase, layer, pointer(values), values.size)

    def _width(self, layer: int) -> int:
        """Units of a layer. For one that is not there the library has the words."""
        return self._units[layer] if 0 <= layer < len(self._units) else 1
