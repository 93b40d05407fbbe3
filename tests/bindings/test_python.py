#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The Python binding does what it says: data in place, training, callbacks, errors, lifetimes, parameters, states.

    test_python.py SAMPLE_FOLDER
"""
import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import weakref

try:
    import numpy as np
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

import bnnep
from bnnep import Dataset, Network, Optimizer, Part, Phase, Workspace, conv, fc

SAMPLE = sys.argv[1]
RATES = {"gamma": 1e-2, "threshold": 1e-5, "lr_bias": [0.05, 0.025]}


def toy(count=60, seed=0):
    """Inputs of 12 values whose class is where they are large."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, count).astype(np.int32)
    inputs = random.random((count, 12), np.float32) * 0.3
    inputs[np.arange(count), 4 * labels] += 0.7
    return inputs, labels


def small(**options):
    return Network((12,), [fc(30), fc(3)], **{"classes": 3, "free_steps": 20, "max_batch": 16, **options})


class Data(unittest.TestCase):
    def test_arrays_are_used_in_place(self):
        inputs, labels = toy()
        with Dataset(inputs, labels) as data:
            inputs[7, 3], labels[7] = 0.125, 2
            read, named = data.read(7, 1)
            self.assertEqual((read[0, 3, 0, 0], named[0]), (0.125, 2))
        with Dataset(inputs, labels, copy=True) as data:
            inputs[7, 3] = 0.5
            self.assertEqual(data.read(7, 1)[0][0, 3, 0, 0], 0.125)

    def test_arrays_are_kept_alive_by_what_is_made_of_them(self):
        inputs, labels = toy()
        alive = weakref.ref(inputs)
        part = Dataset(inputs, labels).subset(10, 20).shuffled(3).transformed(0.5, 2.0)
        wanted = np.sort((inputs[10:30] - 0.5) / 2, axis=0)
        del inputs
        gc.collect()
        self.assertIsNotNone(alive())
        np.testing.assert_allclose(np.sort(part.read()[0].reshape(20, 12), axis=0), wanted, rtol=1e-6)
        part.close()
        del part
        gc.collect()
        self.assertIsNone(alive())

    def test_other_arrays_are_converted(self):
        images = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
        with Dataset(images[:, :, ::2], np.array([1, 0], np.int64)) as data:
            self.assertEqual((len(data), data.shape, data.classes, data.normalisation), (2, (1, 3, 2), 2, None))
            read, labels = data.read()
            np.testing.assert_allclose(read[:, 0], images[:, :, ::2] / np.float32(255))
            self.assertEqual(list(labels), [1, 0])
        swapped = np.ones((1, 5), ">f8")
        self.assertEqual(Dataset(swapped).read()[0].sum(), 5)
        self.assertEqual(Dataset(np.ones((1, 3, 2, 2), np.float32)).shape, (3, 2, 2))

    def test_refusals(self):
        inputs, labels = toy()
        for wrong, kind in (
            ((inputs.astype(np.int64), labels), TypeError),
            ((inputs, labels + 0.5), TypeError),
            ((inputs, labels[:-1]), ValueError),
            ((inputs, labels.astype(np.int64) + 2**31), OverflowError),
            ((np.float32(1), None), ValueError),
        ):
            with self.assertRaises(kind):
                Dataset(*wrong)
        inputs[3, 4] = np.nan
        with self.assertRaisesRegex(bnnep.DataError, "nan"):
            Dataset(inputs, labels)
        data = Dataset(*toy(), classes=3)
        with self.assertRaises(bnnep.ArgumentError) as caught:
            data.subset(50, 20)
        self.assertIsInstance(caught.exception, (ValueError, bnnep.Error))
        self.assertIn("60", str(caught.exception))
        with self.assertRaisesRegex(Exception, "-1 does not fit into uint64"):
            data.subset(-1, 2)
        with self.assertRaisesRegex(bnnep.FileError, "nowhere"):
            Dataset.from_folder("/nowhere")
        with self.assertRaisesRegex(ValueError, "zero byte"):
            Dataset.from_idx("a\0b")
        data.close()
        with self.assertRaisesRegex(ValueError, "this dataset is closed"):
            len(data)

    def test_callback(self):
        inputs, labels = toy()

        def read(places):
            if (places > 55).any():
                raise KeyError("no such place")
            return inputs[places], labels[places]

        data = Dataset.from_callback(read, 60, (12,), classes=3)
        np.testing.assert_array_equal(data.read(5, 9)[0].reshape(9, 12), inputs[5:14])
        self.assertEqual(list(data.read(5, 9)[1]), list(labels[5:14]))
        with self.assertRaisesRegex(KeyError, "no such place"):
            data.read(50, 10)
        del data
        gc.collect()

    def test_files(self):
        parts = [Dataset.from_folder(SAMPLE, part) for part in Part]
        found = [(len(part), part.shape, part.classes) for part in parts]
        self.assertEqual(found, [(5000, (1, 28, 28), 10), (1000, (1, 28, 28), 10)])
        images = Dataset.from_idx(os.path.join(SAMPLE, "t10k-images-idx3-ubyte.gz"))
        np.testing.assert_array_equal(images.read(0, 10)[0], parts[1].read(0, 10)[0])
        with self.assertRaises(bnnep.FileError):
            Dataset.from_cifar10(SAMPLE)


class Training(unittest.TestCase):
    def test_learns(self):
        train, test = Dataset(*toy(300), classes=3), Dataset(*toy(100, seed=1), classes=3)
        network = small(seed=1)
        before = network.evaluate(test)
        optimizer = Optimizer(network, **RATES)
        reports = [optimizer.train_epoch(train, 10) for _ in range(10)]
        after = network.evaluate(test)
        self.assertGreater(before.error, 0.3)
        self.assertLess(after.error, 0.1)
        self.assertEqual(optimizer.position, (300, 10))
        self.assertEqual((reports[0].samples, reports[0].batches, len(reports[0].flips)), (300, 30, 2))
        self.assertGreater(reports[0].flips.sum(), 0)
        inputs, labels = test.read()
        self.assertEqual((network.predict(inputs) != labels).sum(), after.errors)
        scores = network.scores(inputs.reshape(-1, 12).astype(np.float64))
        self.assertEqual(scores.shape, (100, 3))
        self.assertEqual(list(scores.argmax(axis=1)), list(network.predict(inputs)))

    def test_batch_is_its_phases(self):
        inputs, labels = toy(8)
        one, other = small(), small()
        first, second = (Optimizer(net, **RATES, random_beta=False) for net in (one, other))
        report = first.train_batch(inputs, labels)
        space = other.workspace
        space.stage(inputs, np.eye(3)[labels])
        free = space.relax(20)
        space.relax(10, to=Phase.NUDGED, beta=0.3)
        flips = second.learn(space, 0.3)
        self.assertEqual(list(report.flips), list(flips))
        self.assertEqual(free.sample_steps, report.steps_free * 8)
        self.assertEqual(free.most_steps, report.steps_free_max)
        for k in (0, 1):
            np.testing.assert_array_equal(first.momentum(k), second.momentum(k))
            np.testing.assert_array_equal(one.connections[k].signs, other.connections[k].signs)
        for phase in Phase:
            np.testing.assert_array_equal(one.workspace.state(1, 8, phase), space.state(1, 8, phase))

    def test_back_propagation(self):
        inputs, labels = toy(8)
        one, other = small(), small()
        first, second = (Optimizer(net, **RATES, method=bnnep.Method.BPTT, nudged_steps=4) for net in (one, other))
        first.train_batch(inputs, labels)
        space = Workspace(other, max_batch=8, threads=1)
        space.stage(inputs, np.eye(3)[labels])
        space.relax(15)
        second.backpropagate(space, 5)
        second.learn(space, 0.0)
        np.testing.assert_array_equal(first.momentum(-1), second.momentum(-1))

    def test_progress_and_cancel(self):
        data = Dataset(*toy(60), classes=3)
        whole, stopped = small(), small()
        seen = []
        wanted = Optimizer(whole, **RATES).train_epoch(data, 8, progress=seen.append)
        self.assertEqual([(p.batch, p.batches, p.samples) for p in seen], [(k, 8, min(8 * k, 60)) for k in range(1, 9)])
        self.assertEqual(seen[-1].so_far.errors, wanted.errors)
        optimizer = Optimizer(stopped, **RATES)
        now = []
        with self.assertRaises(bnnep.Cancelled) as caught:
            optimizer.train_epoch(data, 8, progress=lambda p: now.append(p.batch), cancel=lambda: len(now) == 3)
        self.assertEqual(caught.exception.report.batches, 3)
        self.assertEqual(optimizer.position, (3, 0))
        done = optimizer.train_epoch(data, 8)
        self.assertEqual((done.batches, done.errors, list(done.flips)), (8, wanted.errors, list(wanted.flips)))
        np.testing.assert_array_equal(whole.connections[0].signs, stopped.connections[0].signs)
        with self.assertRaises(bnnep.Cancelled):
            whole.evaluate(data, cancel=lambda: True)

    def test_exceptions_come_out_of_the_call(self):
        data = Dataset(*toy(60), classes=3)
        optimizer = Optimizer(small(), **RATES)
        for batch in (1, 8):  # after the last batch there is nothing to stop, but the exception is not lost

            def progress(now):
                if now.batch == batch:
                    raise LookupError("in progress")

            with self.assertRaisesRegex(LookupError, "in progress"):
                optimizer.train_epoch(data, 8, progress=progress)
        with self.assertRaises(ZeroDivisionError):
            optimizer.train_epoch(data, 8, cancel=lambda: 1 / 0)
        optimizer.train_epoch(data, 8)

    def test_interrupt_stops_an_epoch(self):
        program = (
            "import bnnep, numpy as np, os, signal, threading\n"
            "data = bnnep.Dataset(np.random.default_rng(0).random((20000, 784), np.float32), classes=10)\n"
            "net = bnnep.Network((784,), [bnnep.fc(2000), bnnep.fc(10)], settle_tolerance=-1.0, free_steps=1000)\n"
            "learn = bnnep.Optimizer(net, gamma=1e-4, threshold=1e-7, lr_bias=0.01)\n"
            "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
            "try:\n    learn.train_epoch(data)\nexcept KeyboardInterrupt:\n    print('stopped')\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
        self.assertEqual((done.stdout, done.stderr), ("stopped\n", ""))

    def test_threads_share_a_network(self):
        network = small()
        inputs, _ = toy(200)
        wanted = network.scores(inputs)
        found = {}

        def predict(name):
            with Workspace(network, max_batch=8, threads=1) as space:
                found[name] = network.scores(inputs, workspace=space)

        threads = [threading.Thread(target=predict, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for name in range(4):
            np.testing.assert_array_equal(found[name], wanted)


class Inside(unittest.TestCase):
    def test_information(self):
        network = Network((2, 8, 8), [conv(5, 3, 1, 2), fc(20)], expand_output=2, backend="ref", seed=2**63)
        info = network.info
        self.assertEqual((info.backend, info.input_shape, info.inputs, info.outputs), ("ref", (2, 8, 8), 128, 20))
        self.assertEqual(info.dynamics, bnnep.Dynamics.REAL_ACTIVATIONS)
        first, last = network.connections
        self.assertEqual(first.kind, bnnep.Kind.CONVOLUTION)
        self.assertEqual((first.rows, first.columns, first.shape), (5, 18, (5, 4, 4)))
        self.assertEqual((last.rows, last.columns, last.units), (20, 80, 20))
        self.assertEqual(info.weights, 5 * 18 + 20 * 80)
        self.assertGreater(bnnep.memory_needed((784,), [fc(4096), fc(10)]), 4 * 784 * 4096)
        names = {backend.name: backend for backend in bnnep.backends()}
        self.assertTrue(names["ref"].available and names["cpu"].available)
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
        optimizer.position = (7, 2)
        self.assertEqual(optimizer.position, (7, 2))
        optimizer.set_beta(0.1, False)
        with self.assertRaises(bnnep.ArgumentError):
            optimizer.set_lr_alpha(0.1)
        Optimizer(network, **RATES, lr_alpha=0.0).set_lr_alpha([0.1, 0.2])

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

    def test_refusals(self):
        for options, kind, says in (
            ({"theta": 3.0}, bnnep.ArgumentError, "theta"),
            ({"backend": "gpu"}, bnnep.BackendError, "gpu"),
            ({"max_batch": 2**32 + 1}, OverflowError, "4294967297 does not fit into int32"),
            ({"steps": 3}, TypeError, "steps"),
            ({"free_steps": 2.5}, TypeError, "float"),
        ):
            with self.assertRaisesRegex(kind, says):
                small(**options)
        with self.assertRaisesRegex(ValueError, "2 are needed"):
            Optimizer(small(), gamma=[1, 2, 3], threshold=0, lr_bias=0)
        with self.assertRaisesRegex(ValueError, "12 values"):
            small().predict(np.ones((3, 11)))
        with self.assertRaisesRegex(TypeError, "floating-point"):
            small().predict(np.ones((3, 12), np.uint8))

    def test_log(self):
        lines = []
        network = small(log=lambda level, line: lines.append((level, line)), backend="auto")
        optimizer = Optimizer(network, **RATES)
        del network
        gc.collect()
        optimizer.train_batch(*toy(4))  # whatever it has to say has somewhere to go
        self.assertTrue(all(level in (1, 2) and isinstance(line, str) for level, line in lines))

    def test_handles(self):
        inputs, labels = toy()
        with Dataset(inputs, labels, classes=3) as data, small() as network:
            optimizer = Optimizer(network, **RATES)
        self.assertTrue(data.closed and network.closed)
        data.close()
        with self.assertRaises(ValueError):
            with network:
                pass
        optimizer.train_batch(inputs[:16], labels[:16])  # keeps its network
        optimizer.close()


class Files(unittest.TestCase):
    def test_checkpoints(self):
        data = Dataset(*toy(60), classes=3)
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "päth.safetensors")
            whole, other = Optimizer(small(), **RATES), Optimizer(small(seed=5), **RATES)
            whole.train_epoch(data, 8)
            whole.save(file, "ein Vermerk: β")
            self.assertEqual(bnnep.file_note(file), "ein Vermerk: β")
            other.load(file)
            self.assertEqual(other.position, (8, 1))
            self.assertEqual(whole.train_epoch(data, 8).errors, other.train_epoch(data, 8).errors)
            np.testing.assert_array_equal(whole.momentum(0), other.momentum(0))
            network = small()
            network.save(os.fsencode(file))
            self.assertEqual(bnnep.file_note(file), "")
            loaded = Network.load(file, backend="ref", max_batch=5)
            self.assertEqual((loaded.info.backend, loaded.info.max_batch, loaded.info.classes), ("ref", 5, 3))
            np.testing.assert_array_equal(loaded.connections[0].signs, network.connections[0].signs)
            with self.assertRaises(bnnep.Error):
                other.load(file)
            with open(file, "r+b") as opened:
                opened.truncate(100)
            with self.assertRaises(bnnep.FormatError):
                Network.load(file)
        with self.assertRaises(OSError):
            Network.load(file)


class Loading(unittest.TestCase):
    def test_library_is_named_where_it_is_not_found(self):
        away = {**os.environ, "BNNEP_LIBRARY": "/nowhere/libbnnep.so"}
        done = subprocess.run([sys.executable, "-c", "import bnnep"], env=away, capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("ImportError: libbnnep cannot be loaded (/nowhere/libbnnep.so:", done.stderr)

    def test_the_loader_finds_it(self):
        folder = {**os.environ, "LD_LIBRARY_PATH": os.path.dirname(os.environ["BNNEP_LIBRARY"])}
        del folder["BNNEP_LIBRARY"]
        done = subprocess.run([sys.executable, "-c", "import bnnep"], env=folder, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    unittest.main(argv=sys.argv[:1], verbosity=2)
