# SPDX-License-Identifier: MIT
"""Optimizers: training, its checkpoints, and what they remember."""
from __future__ import annotations

import ctypes
import enum
from dataclasses import dataclass
from typing import Any, Optional, Sequence, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _structs
from ._abi import library
from ._data import Dataset
from ._files import File, source, to_bytes
from ._handle import Handle, Path, batch, create, floats, given, integers, path, pointer, text
from ._network import Network
from ._training import CancelFn, ProgressFn, Report, blank, run
from ._workspace import Phase, Workspace

#: One value a connection, input first; or one for all.
PerConnection = Union[float, Sequence[float], NDArray[np.float64]]


class Method(enum.IntEnum):
    """Where the gradient comes from."""

    EQUILIBRIUM_PROPAGATION = 0
    BPTT = 1


class Nudge(enum.IntEnum):
    """Which nudges a batch gets: one of beta or -beta, drawn for each; one of beta; or both."""

    RANDOM_SIGN = 0
    FIXED = 1
    CENTRED = 2


class Unit(enum.IntEnum):
    """In which unit a threshold or a rate is given: as it is applied, or in deviations of a connection's contrast."""

    ABSOLUTE = 0
    DEVIATIONS = 1


class Fall(enum.IntEnum):
    """How gamma and the learning rates fall."""

    CONSTANT = 0
    EXPONENTIAL = 1
    COSINE = 2
    HARMONIC = 3


class Rate(enum.IntEnum):
    """Rates, which are attributes of an optimizer."""

    GAMMA = 0
    THRESHOLD = 1
    BIAS = 2
    ALPHA = 3
    BETA = 4


class ContrastPart(enum.IntEnum):
    """What a contrast is of."""

    WEIGHTS = 0
    BIAS = 1
    ALPHA = 2


@dataclass(frozen=True)
class OptimizerInfo:
    """What an optimizer was made with, and where it stands."""

    batches: int  #: trained; they number the random draws, as the epochs do
    epochs: int
    seed: int
    method: Method
    nudged_steps: int
    nudge: Nudge
    keep_order: bool
    learns_alpha: bool


def _rate(which: Rate) -> Any:
    """A rate as an attribute. A value that is set counts from the next batch on."""

    def get(optimizer: Optimizer) -> Any:
        values = np.empty(optimizer._count(which))
        library.bnnep_optimizer_get_rates(optimizer.handle, which, pointer(values), values.size)
        return float(values[0]) if which == Rate.BETA else values

    def put(optimizer: Optimizer, values: PerConnection) -> None:
        rates = _spread(values, optimizer._count(which), which.name.lower())
        library.bnnep_optimizer_set_rates(optimizer.handle, which, rates, len(rates))

    return property(get, put)


def _spread(values: PerConnection, count: int, what: str) -> ctypes.Array[ctypes.c_double]:
    array = np.asarray(values, np.float64)
    if array.shape not in ((), (count,)):
        raise ValueError(f"{what} of shape {array.shape}; one value or {count} are needed")
    return (ctypes.c_double * count)(*np.broadcast_to(array, count))


class Optimizer(Handle):
    """How a network learns. `gamma`, `threshold`, `lr_bias` and `lr_alpha` have one value a connection, input first.

    >>> Optimizer(network, gamma=[1e-4, 1e-5], threshold=5e-7, lr_bias=[0.05, 0.025])

    Without any of the four they are those of the default rule, in deviations of what the optimizer measures:

    >>> Optimizer(network)

    which goes with networks that are made with start=Start.BALANCED. They and `beta` are attributes, to be read and set.
    `consolidation` above 0, such as 0.3, keeps what was learnt before longer, when other data follows.
    What the options mean, and their ranges: bnnep_optimizer_options in bnnep.h; 0 are its defaults.
    """

    _free = "bnnep_optimizer_free"

    gamma = _rate(Rate.GAMMA)
    threshold = _rate(Rate.THRESHOLD)
    lr_bias = _rate(Rate.BIAS)
    lr_alpha = _rate(Rate.ALPHA)
    beta = _rate(Rate.BETA)

    def __init__(
        self,
        network: Network,
        *,
        gamma: Optional[PerConnection] = None,
        threshold: Optional[PerConnection] = None,
        lr_bias: Optional[PerConnection] = None,
        lr_alpha: Optional[PerConnection] = None,
        beta: float = 0.0,
        seed: int = 0,
        method: int = Method.EQUILIBRIUM_PROPAGATION,
        nudged_steps: int = 0,
        nudge: int = Nudge.RANDOM_SIGN,
        keep_order: bool = False,
        threshold_kind: int = Unit.ABSOLUTE,
        rate_kind: int = Unit.ABSOLUTE,
        fall: int = Fall.CONSTANT,
        fall_to: float = 0.0,
        fall_updates: int = 0,
        flip_reset: bool = False,
        covariance: bool = False,
        consolidation: float = 0.0,
    ) -> None:
        self._describe(network)
        options = _structs.OptimizerOptions(
            gamma=self._given(gamma, "gamma"),
            threshold=self._given(threshold, "threshold"),
            lr_bias=self._given(lr_bias, "lr_bias"),
            lr_alpha=self._given(lr_alpha, "lr_alpha"),
            connection_count=self._connections,
            beta=beta,
            seed=seed,
            method=method,
            nudged_steps=nudged_steps,
            nudge=nudge,
            keep_order=keep_order,
            threshold_kind=threshold_kind,
            rate_kind=rate_kind,
            fall=fall,
            fall_to=fall_to,
            fall_updates=fall_updates,
            flip_reset=flip_reset,
            covariance=covariance,
            consolidation=consolidation,
        )
        made = create(library.bnnep_optimizer_create, network.handle, ctypes.byref(options))
        super().__init__(made, *network._keep)

    def _given(self, rate: Optional[PerConnection], name: str):
        return None if rate is None else _spread(rate, self._connections, name)

    def _describe(self, network: Network) -> None:
        described = network.connections
        self._connections, self._inputs = len(described), network.info.inputs
        self._shapes = [
            {
                ContrastPart.WEIGHTS: (connection.rows, connection.columns),
                ContrastPart.BIAS: (connection.rows,),
                ContrastPart.ALPHA: (connection.scales,),
            }
            for connection in described
        ]

    def clone(self, network: Network) -> Optimizer:
        """An optimizer with the same momenta, rates, position and measurements, for a network of the same shape."""
        other = type(self).__new__(type(self))
        other._describe(network)
        Handle.__init__(other, create(library.bnnep_optimizer_clone, self.handle, network.handle), *network._keep)
        return other

    @property
    def info(self) -> OptimizerInfo:
        info = _structs.OptimizerInfo()
        library.bnnep_optimizer_get_info(self.handle, ctypes.byref(info))
        return info.into(
            OptimizerInfo,
            method=Method(info.method),
            nudge=Nudge(info.nudge),
            keep_order=bool(info.keep_order),
            learns_alpha=bool(info.learns_alpha),
        )

    def _count(self, which: Rate) -> int:
        return 1 if which == Rate.BETA else self._connections

    def train_batch(self, inputs: ArrayLike, labels: ArrayLike, *, workspace: Optional[Workspace] = None) -> Report:
        """Trains on one batch: free phase, nudged phase, update. Errors and loss are those before the update."""
        values = batch(inputs, self._inputs, "inputs")
        named = integers(labels, "labels", (len(values),))
        how, report = _structs.RunOptions(workspace=given(workspace)), blank(flips=self._connections)
        library.bnnep_optimizer_train_batch(
            self.handle, pointer(values), pointer(named), len(values), ctypes.byref(how), ctypes.byref(report)
        )
        return Report._of(report)

    def train_epoch(
        self,
        dataset: Dataset,
        batch_size: int = 0,
        *,
        workspace: Optional[Workspace] = None,
        progress: Optional[ProgressFn] = None,
        cancel: Optional[CancelFn] = None,
    ) -> Report:
        """Trains on all of `dataset` once; `batch_size` 0 means max_batch. If `cancel` says so it stops with Cancelled,
        whose `report` tells what was done, and the next call goes on with the epoch."""
        dataset._warn_if_unscaled()
        report = blank(flips=self._connections, told=self._connections)
        how = {"workspace": given(workspace), "batch_size": batch_size}
        handles = (self.handle, dataset.handle)
        return run(library.bnnep_optimizer_train_epoch, handles, report, progress, cancel, **how)

    def save(self, file: Path, note: Optional[str] = None) -> None:
        """Writes a checkpoint: all that a run has to remember."""
        library.bnnep_checkpoint_save(self.handle, path(file), text(note))

    def to_bytes(self, note: Optional[str] = None) -> bytes:
        """What save() would write."""
        return to_bytes(library.bnnep_checkpoint_write, self.handle, note)

    def load(self, file: File) -> None:
        """Brings optimizer and network to where a checkpoint stands, or its bytes; going on is bit for bit as if not
        interrupted."""
        library.bnnep_checkpoint_read(self.handle, ctypes.byref(source(file)))

    def set_position(self, batches: int, epochs: int) -> None:
        """Sets the batches and epochs trained, which `info` has."""
        library.bnnep_optimizer_set_position(self.handle, batches, epochs)

    def _get(self, get: Any, connection: int, part: int, *which: int) -> NDArray[np.float32]:
        place = range(self._connections)[connection]
        values = np.empty(self._shapes[place][ContrastPart(part)], np.float32)
        get(self.handle, place, *which, pointer(values), values.size)
        return values

    def _set(self, put: Any, connection: int, values: ArrayLike, part: int, *which: int) -> None:
        place = range(self._connections)[connection]
        array, shape = floats(values, "values"), self._shapes[place][ContrastPart(part)]
        if array.shape != shape:
            raise ValueError(f"values of shape {array.shape}; {shape} is needed")
        put(self.handle, place, *which, pointer(array), array.size)

    def momentum(self, connection: int) -> NDArray[np.float32]:
        """Momenta of a connection, [rows, columns]."""
        return self._get(library.bnnep_optimizer_get_momentum, connection, ContrastPart.WEIGHTS)

    def set_momentum(self, connection: int, values: ArrayLike) -> None:
        self._set(library.bnnep_optimizer_set_momentum, connection, values, ContrastPart.WEIGHTS)

    def contrast(
        self,
        workspace: Workspace,
        *,
        divisor: float = 0.0,
        first: int = Phase.FREE,
        second: int = Phase.NUDGED,
    ) -> None:
        """Takes the contrast of two phases, (second - first) / divisor, mean of the samples. A divisor of 0 is the beta
        of the second phase less that of the first."""
        options = _structs.ContrastOptions(divisor=divisor, first=first, second=second)
        library.bnnep_optimizer_contrast(self.handle, workspace.handle, ctypes.byref(options))

    def backpropagate(self, workspace: Workspace, steps: int) -> None:
        """With Method.BPTT, in place of nudged phase and contrast: `steps` free steps and the gradient through them."""
        library.bnnep_optimizer_backpropagate(self.handle, workspace.handle, steps)

    def get_contrast(self, connection: int, part: int = ContrastPart.WEIGHTS) -> NDArray[np.float32]:
        """The contrast that update() will apply: of the weights [rows, columns], the bias [rows], or alpha [scales]."""
        return self._get(library.bnnep_optimizer_get_contrast, connection, part, part)

    def set_contrast(self, connection: int, values: ArrayLike, part: int = ContrastPart.WEIGHTS) -> None:
        self._set(library.bnnep_optimizer_set_contrast, connection, values, part, part)

    def update(self) -> NDArray[np.uint64]:
        """Moves momenta, weights, biases and scaling factors by the contrast; returns the flips of each connection."""
        report = blank(flips=self._connections)
        library.bnnep_optimizer_update(self.handle, ctypes.byref(report))
        return Report._of(report).flips
