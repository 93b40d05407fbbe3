# SPDX-License-Identifier: MIT
"""Optimizers: training, its checkpoints, and what they remember."""
from __future__ import annotations

import ctypes
import enum
from typing import Optional, Sequence, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _abi
from ._abi import library
from ._data import Dataset
from ._handle import Handle, Path, create, floats, integers, path, pointer, text
from ._network import Network, Workspace, batch
from ._training import CancelFn, ProgressFn, Report, run

#: One value a connection, input first; or one for all.
PerConnection = Union[float, Sequence[float], NDArray[np.float64]]


class Method(enum.IntEnum):
    """Where the gradient comes from."""

    EQUILIBRIUM_PROPAGATION = 0
    BPTT = 1


class Optimizer(Handle):
    """How a network learns. `gamma`, `threshold`, `lr_bias` and `lr_alpha` have one value a connection, input first.

    >>> Optimizer(network, gamma=[1e-4, 1e-5], threshold=5e-7, lr_bias=[0.05, 0.025])

    What the options mean, their ranges and defaults: bnnep_optimizer_options in bnnep.h.
    """

    _free = "bnnep_optimizer_free"

    def __init__(
        self,
        network: Network,
        *,
        gamma: PerConnection,
        threshold: PerConnection,
        lr_bias: PerConnection,
        lr_alpha: Optional[PerConnection] = None,
        method: int = Method.EQUILIBRIUM_PROPAGATION,
        nudged_steps: int = 10,
        beta: float = 0.3,
        random_beta: bool = True,
        shuffle: bool = True,
        seed: int = 0,
        momentum_noise: bool = False,
    ) -> None:
        info = network.info
        self._connections, self._inputs = info.connections, info.inputs
        self._shapes = [(c.rows, c.columns) for c in network.connections]
        options = _abi.OptimizerOptions(
            method=method,
            nudged_steps=nudged_steps,
            beta=beta,
            random_beta=random_beta,
            gamma=self._rates(gamma, "gamma"),
            threshold=self._rates(threshold, "threshold"),
            lr_bias=self._rates(lr_bias, "lr_bias"),
            lr_alpha=None if lr_alpha is None else self._rates(lr_alpha, "lr_alpha"),
            shuffle=shuffle,
            seed=seed,
            momentum_noise=momentum_noise,
        )
        made = create(library.bnnep_optimizer_create, network.handle, ctypes.byref(options))
        super().__init__(made, *network._keep)

    def _rates(self, values: PerConnection, what: str) -> ctypes.Array[ctypes.c_double]:
        array = np.asarray(values, np.float64)
        if array.shape not in ((), (self._connections,)):
            raise ValueError(f"{what} of shape {array.shape}; one value or {self._connections} are needed")
        return (ctypes.c_double * self._connections)(*np.broadcast_to(array, self._connections))

    def train_batch(self, inputs: ArrayLike, labels: ArrayLike) -> Report:
        """Trains on one batch: free phase, nudged phase, update. Errors and loss are those before the update."""
        values = batch(inputs, self._inputs, "inputs")
        named = integers(labels, "labels", (len(values),))
        flips = np.zeros(self._connections, np.uint64)
        report = _abi.Report(flips=pointer(flips), flips_count=flips.size)
        library.bnnep_train_batch(self.handle, pointer(values), pointer(named), len(values), ctypes.byref(report))
        return Report._of(report, flips)

    def train_epoch(
        self,
        dataset: Dataset,
        batch_size: int = 64,
        *,
        progress: Optional[ProgressFn] = None,
        cancel: Optional[CancelFn] = None,
    ) -> Report:
        """Trains on all of `dataset` once. If `cancel` says so it stops with Cancelled, whose `report` tells what was
        done, and the next call goes on with the epoch."""
        handles = (self.handle, dataset.handle, batch_size)
        return run(library.bnnep_train_epoch, handles, self._connections, progress, cancel)

    def save(self, file: Path, note: Optional[str] = None) -> None:
        """Writes a checkpoint: all that a run has to remember."""
        library.bnnep_checkpoint_save(self.handle, path(file), text(note))

    def load(self, file: Path) -> None:
        """Brings optimizer and network to where a checkpoint stands; going on is bit for bit as if not interrupted."""
        library.bnnep_checkpoint_load(self.handle, path(file))

    def momentum(self, connection: int) -> NDArray[np.float32]:
        """Momenta of a connection, [rows, columns]."""
        values = np.empty(self._shapes[connection], np.float32)
        place = range(self._connections)[connection]
        library.bnnep_optimizer_get_momentum(self.handle, place, pointer(values), values.size)
        return values

    def set_momentum(self, connection: int, values: ArrayLike) -> None:
        given = floats(values, "momenta")
        if given.shape != self._shapes[connection]:
            raise ValueError(f"momenta of shape {given.shape}; {self._shapes[connection]} is needed")
        place = range(self._connections)[connection]
        library.bnnep_optimizer_set_momentum(self.handle, place, pointer(given), given.size)

    @property
    def position(self) -> tuple[int, int]:
        """Batches and epochs trained; they number the random draws."""
        batches, epochs = ctypes.c_uint64(), ctypes.c_uint64()
        library.bnnep_optimizer_get_position(self.handle, ctypes.byref(batches), ctypes.byref(epochs))
        return batches.value, epochs.value

    @position.setter
    def position(self, value: tuple[int, int]) -> None:
        library.bnnep_optimizer_set_position(self.handle, *value)

    def set_beta(self, beta: float, random_beta: bool = True) -> None:
        """Changes beta from the next batch on."""
        library.bnnep_optimizer_set_beta(self.handle, beta, random_beta)

    def set_lr_alpha(self, lr_alpha: PerConnection) -> None:
        """Changes the learning rates of the scaling factors, for an optimizer made with some."""
        library.bnnep_optimizer_set_lr_alpha(self.handle, self._rates(lr_alpha, "lr_alpha"))

    def learn(self, workspace: Workspace, beta: float) -> NDArray[np.uint64]:
        """Updates from the contrast of the two phases in `workspace`; returns the flips of each connection."""
        flips = np.zeros(self._connections, np.uint64)
        library.bnnep_learn(self.handle, workspace.handle, beta, pointer(flips))
        return flips

    def backpropagate(self, workspace: Workspace, steps: int) -> None:
        """With Method.BPTT, in place of the nudged phase: `steps` free steps, and the gradient through them."""
        library.bnnep_backpropagate(self.handle, workspace.handle, steps)
