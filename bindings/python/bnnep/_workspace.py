# SPDX-License-Identifier: MIT
"""Workspaces: states of a network, and their phases."""
from __future__ import annotations

import ctypes
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _structs
from ._abi import library
from ._handle import Handle, batch, create, pointer, rows

if TYPE_CHECKING:
    from ._network import Network


class Phase(enum.IntEnum):
    """Whose states: of the free phase, of the nudged one, or of another."""

    FREE = 0
    NUDGED = 1
    OTHER = 2


@dataclass(frozen=True)
class Relaxed:
    """What a phase took."""

    sample_steps: int  #: time steps done, summed over the samples
    most_steps: int  #: the largest number a sample took


class Workspace(Handle):
    """Where states are kept. With one of its own, each of several threads may predict and evaluate by one network."""

    _free: Optional[str] = "bnnep_workspace_free"

    def __init__(self, network: Network, *, max_batch: int = 0, threads: int = 0) -> None:
        options = _structs.WorkspaceOptions(max_batch=max_batch, threads=threads)
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
        wanted = None if targets is None else rows(targets, self._outputs, "targets")
        if wanted is not None and len(wanted) != len(values):
            raise ValueError(f"{len(values)} inputs, but {len(wanted)} targets")
        library.bnnep_workspace_stage(self.handle, pointer(values), pointer(wanted), len(values))

    def relax(
        self, steps: int = 0, *, start: int = Phase.FREE, to: int = Phase.FREE, beta: float = 0.0
    ) -> Relaxed:
        """Goes on for `steps` time steps (0: those of a free phase) from the states of phase `start`, nudged by `beta`,
        and leaves the result in phase `to`."""
        relaxation = _structs.Relaxation(**{"from": start}, to=to, steps=steps, beta=beta)
        relaxed = _structs.Relaxed()
        library.bnnep_workspace_relax(self.handle, ctypes.byref(relaxation), ctypes.byref(relaxed))
        return Relaxed(relaxed.sample_steps, relaxed.most_steps)

    def state(self, layer: int, samples: int, phase: int = Phase.FREE) -> NDArray[np.float32]:
        """States of a layer (1 ... connections) after a phase, [samples, units]; `samples` as many as are staged."""
        states = np.empty((samples, self._width(layer)), np.float32)
        library.bnnep_workspace_get_state(self.handle, phase, layer, pointer(states), states.size)
        return states

    def set_state(self, layer: int, states: ArrayLike, phase: int = Phase.FREE) -> None:
        """Sets the states of a layer, [samples staged, units]."""
        values = rows(states, self._width(layer), "states")
        library.bnnep_workspace_set_state(self.handle, phase, layer, pointer(values), values.size)

    def _width(self, layer: int) -> int:
        """Units of a layer. For one that is not there the library has the words."""
        return self._units[layer] if 0 <= layer < len(self._units) else 1
