#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The Python binding shows what is inside, and changes it: parameters, rates, momenta, states, contrasts.

    test_python_inside.py
"""
import sys
import unittest

from toy import RATES, np, small, toy  # first: it may say that tests are skipped

import bnnep
from bnnep import Context, ContrastPart, Network, Nudge, Optimizer, Phase, Workspace, conv, fc


class Inside(unittest.TestCase):
    def test_information(self):
        context = Context("ref")
        network = Network((2, 8, 8), [conv(5, 3, 1, 2), fc(20)], expand_output=2, context=context, seed=2**63)
        info = network.info
        self.assertEqual((info.backend, info.input_shape, info.inputs, info.outputs), ("ref", (2, 8, 8), 128, 20))
        self.assertEqual(info.dynamics, bnnep.Dynamics.REAL)
        self.assertEqual((info.connection_count, info.layer_count, info.theta, info.classes), (2, 3, 0.5, 10))
        first, last = network.connections
        self.assertEqual(first.kind, bnnep.Kind.CONVOLUTION)
        self.assertEqual((first.rows, first.columns, first.shape), (5, 18, (5, 4, 4)))
        self.assertEqual((last.rows, last.columns, last.units), (20, 80, 20))
        self.assertEqual(info.weights, 5 * 18 + 20 * 80)
        self.assertGreater(bnnep.memory_needed((784,), [fc(4096), fc(10)]), 4 * 784 * 4096)
        self.assertEqual(bnnep.version().count("."), 2)

    def test_parameters(self):
        network = small()
        first = network.connections[0]
        signs = first.signs
        self.assertEqual((signs.shape, signs.dtype, set(signs.flat)), ((30, 12), np.int8, {-1, 1}))
        np.testing.assert_array_equal(np.unpackbits(first.sign_bits, axis=1, bitorder="little")[:, :12], signs > 0)
        first.signs = -signs.astype(int)
        np.testing.assert_array_equal(first.signs, -signs)
        first.sign_bits = np.packbits(signs > 0, axis=1, bitorder="little")
        np.testing.assert_array_equal(first.signs, signs)
        first.alpha, first.bias = [0.25], np.linspace(-1, 1, 30)
        self.assertEqual(list(first.alpha), [0.25])
        np.testing.assert_allclose(first.bias, np.linspace(-1, 1, 30), atol=1e-7)
        for wrong in (signs[:-1], 2 * signs, signs * 255):
            with self.assertRaises(ValueError):
                first.signs = wrong
        with self.assertRaisesRegex(bnnep.Error, "bias"):
            first.bias = np.full(30, np.inf)
        optimizer = Optimizer(network, **RATES)
        optimizer.set_momentum(1, np.ones((3, 30)))
        np.testing.assert_array_equal(optimizer.momentum(1), np.ones((3, 30)))
        optimizer.set_position(7, 2)
        info = optimizer.info
        self.assertEqual((info.batches, info.epochs, info.nudge, info.learns_alpha), (7, 2, Nudge.RANDOM_SIGN, False))

    def test_rates(self):
        optimizer = Optimizer(small(), **RATES, lr_alpha=[0.1, 0.2])
        self.assertEqual((list(optimizer.gamma), list(optimizer.lr_bias)), ([0.01, 0.01], [0.05, 0.025]))
        self.assertAlmostEqual(optimizer.beta, 0.3, 6)  # the library's, where none is given
        optimizer.beta, optimizer.threshold, optimizer.lr_alpha = 0.125, [0, 1e-3], 0.5
        self.assertEqual((optimizer.beta, list(optimizer.threshold)), (0.125, [0, 1e-3]))
        self.assertEqual(list(optimizer.lr_alpha), [0.5, 0.5])
        with self.assertRaisesRegex(ValueError, "2 are needed"):
            optimizer.gamma = [0.1] * 3
        with self.assertRaises(bnnep.ArgumentError):
            optimizer.gamma = 2.0
        with self.assertRaises(bnnep.ArgumentError):
            Optimizer(small(), **RATES).lr_alpha = 0.1

    def test_clones(self):
        inputs, labels = toy(16)
        network = small()
        optimizer = Optimizer(network, **RATES)
        optimizer.train_batch(inputs, labels)
        other = network.clone(Context("cpu", threads=1))
        twin = optimizer.clone(other)
        self.assertEqual(twin.info, optimizer.info)
        for learns in (optimizer, twin):
            learns.train_batch(inputs, labels)
        np.testing.assert_array_equal(twin.momentum(0), optimizer.momentum(0))
        np.testing.assert_array_equal(other.connections[0].signs, network.connections[0].signs)
        self.assertEqual(network.clone().info, network.info)

    def test_states(self):
        inputs, _ = toy(4)
        space = Workspace(small())  # the network is kept alive by it
        space.stage(inputs)
        space.relax(20)
        hidden = space.state(1, 4)
        self.assertEqual((hidden.shape, space.state(2, 4).shape), ((4, 30), (4, 3)))
        self.assertTrue((hidden >= 0).all() and (hidden <= 1).all() and hidden.std() > 0)
        space.set_state(1, hidden / 2)
        np.testing.assert_array_equal(space.state(1, 4), hidden / 2)
        for wrong in ((3, 4), (1, 5)):
            with self.assertRaises(bnnep.ArgumentError):
                space.state(*wrong)
        with self.assertRaises(bnnep.ArgumentError):
            space.relax(5, to=Phase.NUDGED, beta=0.3)
        network = small()
        own = network.workspace
        own.stage(inputs)
        network.close()
        with self.assertRaisesRegex(ValueError, "this network is closed"):
            own.relax(1)

    def test_batch_is_its_phases(self):
        inputs, labels = toy(8)
        one, other = small(), small()
        first, second = (Optimizer(net, **RATES, nudge=Nudge.FIXED) for net in (one, other))
        report = first.train_batch(inputs, labels)
        space = other.workspace
        space.stage(inputs, np.eye(3)[labels])
        free = space.relax()
        space.relax(10, to=Phase.NUDGED, beta=0.3)
        second.contrast(space)
        flips = second.update()
        self.assertEqual(list(report.flips), list(flips))
        self.assertEqual(free.sample_steps, report.steps_free * 8)
        self.assertEqual(free.most_steps, report.steps_free_max)
        for k in (0, 1):
            np.testing.assert_array_equal(first.momentum(k), second.momentum(k))
            np.testing.assert_array_equal(one.connections[k].signs, other.connections[k].signs)
        for phase in (Phase.FREE, Phase.NUDGED):
            np.testing.assert_array_equal(one.workspace.state(1, 8, phase), space.state(1, 8, phase))

    def test_contrasts(self):
        inputs, labels = toy(8)
        network = small()
        optimizer = Optimizer(network, **RATES, lr_alpha=0.01)
        space = Workspace(network)
        space.stage(inputs, np.eye(3)[labels])
        space.relax(to=Phase.OTHER, beta=-0.25)
        space.relax(to=Phase.NUDGED, beta=0.25)
        optimizer.contrast(space, first=Phase.OTHER)
        taken = optimizer.get_contrast(1)
        optimizer.contrast(space, first=Phase.OTHER, divisor=1)
        np.testing.assert_array_equal(optimizer.get_contrast(1), taken / 2)
        for part, shape in zip(ContrastPart, ((3, 30), (3,), (1,))):
            wanted = np.full(shape, 0.125, np.float32)
            optimizer.set_contrast(-1, wanted, part)
            np.testing.assert_array_equal(optimizer.get_contrast(1, part), wanted)
        bias = network.connections[1].bias
        optimizer.update()
        np.testing.assert_allclose(optimizer.momentum(1), np.full((3, 30), 0.01 * 0.125), rtol=1e-6)
        np.testing.assert_allclose(network.connections[1].bias, bias + 0.025 * 0.125, rtol=1e-6)
        with self.assertRaises(ValueError):
            optimizer.set_contrast(0, wanted)

    def test_back_propagation(self):
        inputs, labels = toy(8)
        one, other = small(), small()
        first, second = (Optimizer(net, **RATES, method=bnnep.Method.BPTT, nudged_steps=4) for net in (one, other))
        first.train_batch(inputs, labels)
        space = Workspace(other, max_batch=8, threads=1)
        space.stage(inputs, np.eye(3)[labels])
        space.relax(15)
        second.backpropagate(space, 5)
        second.update()
        np.testing.assert_array_equal(first.momentum(-1), second.momentum(-1))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
