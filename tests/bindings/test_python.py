#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The Python binding does what it says: data in place, training, callbacks, errors, lifetimes, files.

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
import warnings
import weakref

from toy import RATES, np, small, toy  # first: it may say that tests are skipped

import bnnep
from bnnep import Context, Dataset, Network, Optimizer, Part, Transform, Workspace, fc

SAMPLE = sys.argv[1]


class Data(unittest.TestCase):
    def test_arrays_are_used_in_place(self):
        inputs, labels = toy()
        with Dataset(inputs, labels) as data:
            inputs[7, 3], labels[7] = 0.125, 2
            read, named = data.read(7, 1)
            self.assertEqual((read[0, 3, 0, 0], named[0]), (0.125, 2))

    def test_arrays_are_kept_alive_by_what_is_made_of_them(self):
        inputs, labels = toy()
        alive = weakref.ref(inputs)
        part = Dataset(inputs, labels).subset(10, 20).select([3, 19, 3]).transformed(Transform(0.5, 2.0))
        part = Dataset.concat([part, part])
        wanted = (inputs[[13, 29, 13, 13, 29, 13]] - 0.5) / 2
        del inputs
        gc.collect()
        self.assertIsNotNone(alive())
        np.testing.assert_allclose(part.read()[0].reshape(6, 12), wanted, rtol=1e-6)
        self.assertEqual(list(part.read()[1]), list(labels[[13, 29, 13, 13, 29, 13]]))
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
        for kind in (bool, np.int64, np.uint16, np.float16):
            self.assertEqual(Dataset(np.full((1, 3), 1, kind)).read()[0].sum(), 3)
        swapped = np.ones((1, 5), ">f8")
        self.assertEqual(Dataset(swapped).read()[0].sum(), 5)
        self.assertEqual(Dataset(np.ones((1, 3, 2, 2), np.float32)).shape, (3, 2, 2))

    def test_refusals(self):
        inputs, labels = toy()
        for wrong, kind in (
            ((inputs.astype(str), labels), TypeError),
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
            Dataset.open("/nowhere")
        with self.assertRaisesRegex(ValueError, "zero byte"):
            Dataset.open("a\0b")
        with self.assertRaisesRegex(OverflowError, "uint64"):
            data.select([-1])
        with self.assertRaises(bnnep.ArgumentError):
            data.select([60])
        data.close()
        with self.assertRaisesRegex(ValueError, "this dataset is closed"):
            len(data)

    def test_inputs_that_nobody_scaled(self):
        inputs, labels = toy()
        for data, warns in (
            (Dataset(inputs, labels), False),
            (Dataset((16 * inputs).astype(int), labels), True),
            (Dataset(16 * inputs, labels), True),
            (Dataset(16 * inputs, labels).subset(1, 20), True),
            (Dataset(16 * inputs, labels).transformed(Transform(0.0, 16.0)), False),
            (Dataset((inputs - inputs.mean()) / inputs.std(), labels), False),
            (Dataset(1e3 * (inputs - 0.5), labels), True),
            (Dataset((inputs > 0.5).astype(np.uint8), labels), True),  # 1 counts as 1/255
            (Dataset.from_callback(lambda places: (16 * inputs[places], labels[places]), 60, (12,)).subset(0, 9), False),
            (Dataset.open(SAMPLE).subset(0, 20), False),
        ):
            shape = (int(np.prod(data.shape)),)
            optimizer = Optimizer(Network(data.shape, [fc(5), fc(10)], free_steps=2), **{**RATES, "nudged_steps": 1})
            with self.subTest(shape=shape), warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                for _ in range(2):
                    optimizer.train_epoch(data)
                self.assertEqual(len(caught), warns)
                if warns:
                    self.assertRegex(str(caught[0].message), "inputs lie between .* and .*; networks learn from values")
                    self.assertEqual(caught[0].filename, __file__)

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
        parts = [Dataset.open(SAMPLE, part) for part in Part]
        found = [(len(part), part.shape, part.classes) for part in parts]
        self.assertEqual(found, [(5000, (1, 28, 28), 10), (1000, (1, 28, 28), 10)])
        images, labels = (
            os.path.join(SAMPLE, f"t10k-{name}-ubyte.gz") for name in ("images-idx3", "labels-idx1")
        )
        wanted = parts[1].read(0, 10)
        with open(images, "rb") as first, open(labels, "rb") as second:
            contents = first.read(), second.read()
        for file, named in ((images, labels), contents, (memoryview(contents[0]), labels)):
            for got, want in zip(Dataset.open(file, labels=named).read(0, 10), wanted):
                np.testing.assert_array_equal(got, want)
        self.assertFalse(Dataset.open(images).labelled)
        with self.assertRaises(bnnep.Error):
            Dataset.open(SAMPLE, format=bnnep.Format.CIFAR10)

    def test_cifar10(self):
        record = bytes([7]) + bytes(range(256)) * 12
        data = Dataset.open(2 * record, format=bnnep.Format.CIFAR10, classes=10)
        pixels = np.frombuffer(record[1:], np.uint8).reshape(3, 32, 32) / np.float32(255)
        np.testing.assert_array_equal(data.read()[0], [pixels, pixels])
        self.assertEqual((list(data.read()[1]), data.normalisation), ([7, 7], None))
        training, test = map(Transform.cifar10, Part)
        self.assertEqual((training.flip, training.crop, test.flip, test.crop), (True, 4, False, 0))
        changed = data.transformed(test)
        mean, deviation = (np.reshape(part, (3, 1, 1)) for part in (test.mean, test.deviation))
        np.testing.assert_allclose(changed.read()[0][1], (pixels - mean) / deviation, rtol=1e-5, atol=1e-6)
        for got, want in zip(changed.normalisation, (test.mean, test.deviation)):
            np.testing.assert_array_equal(got, want)

    def test_without_labels(self):
        inputs, labels = toy(20)
        data, network = Dataset(inputs, classes=3), small()
        self.assertEqual((data.labelled, Dataset(inputs, labels).labelled), (False, True))
        self.assertEqual(list(data.read(0, 2)[1]), [-1, -1])
        with self.assertRaises(bnnep.Error):
            network.evaluate(data)
        report = network.evaluate(data, predictions=True)
        np.testing.assert_array_equal(report.predictions, network.predict(inputs))
        with self.assertRaises(bnnep.DataError):
            Optimizer(network, **RATES).train_epoch(data)


class Shapes(unittest.TestCase):
    def test_units_alone(self):
        info = Network([64, 200, 7]).info
        self.assertEqual((info.inputs, info.outputs, info.classes, info.layer_count), (64, 7, 7, 3))
        self.assertEqual(Network((8,), [fc(20), fc(12)], expand_output=4).info.classes, 3)
        self.assertEqual(Network([8, 20, 12], classes=12).info.classes, 12)
        with self.assertRaisesRegex(bnnep.ArgumentError, "expand_output"):
            Network([8, 20, 13], expand_output=4)
        with self.assertRaisesRegex(TypeError, "lacks its connections"):
            Network((1, 28, 28))

    def test_inputs_of_any_number(self):
        network = Network([4, 6, 2], seed=1)
        bytes_ = np.array([[0, 51, 102, 255], [255, 0, 0, 204]], np.uint8)
        np.testing.assert_array_equal(network.scores(bytes_), network.scores(bytes_ / np.float32(255)))
        np.testing.assert_array_equal(network.scores([[0, 1, 1, 0]]), network.scores(np.array([[0, 1, 1, 0.0]])))
        with self.assertRaisesRegex(TypeError, "must be numbers"):
            network.scores([["a", "b", "c", "d"]])


class Training(unittest.TestCase):
    def test_learns_without_rates(self):
        train, test = Dataset(*toy(300), classes=3), Dataset(*toy(100, seed=1), classes=3)
        for options in {}, {"nudge": bnnep.Nudge.CENTRED}, {"fall": bnnep.Fall.COSINE, "fall_to": 0.1, "fall_updates": 900}:
            network = small(seed=1)
            optimizer = Optimizer(network, **options)
            report = optimizer.train_epoch(train, 10)  # later ones learn nothing: there are no errors left
            for _ in range(30):
                optimizer.train_epoch(train, 10)
            self.assertLess(network.evaluate(test).error, 0.1, options)
            self.assertTrue(optimizer.info.learns_alpha)
            self.assertEqual((report.edges.shape, report.contrasts.shape), (report.flips.shape, report.flips.shape))
            self.assertTrue((report.contrasts > 0).all() and ((report.edges >= 0) & (report.edges <= 1)).all())
        said = Optimizer(network, gamma=2e-3, threshold=1, lr_bias=1e-3, threshold_kind=bnnep.Unit.DEVIATIONS)
        self.assertFalse(said.info.learns_alpha)
        with self.assertRaises(bnnep.ArgumentError):
            Optimizer(network, gamma=2e-3)

    def test_consolidation(self):
        data, momenta = toy(8), []
        for consolidation in (0.0, 1.5):
            optimizer = Optimizer(small(), consolidation=consolidation, **RATES)
            for _ in range(5):
                optimizer.train_batch(*data)
            momenta.append(optimizer.momentum(0))
        self.assertFalse(np.array_equal(*momenta))
        with self.assertRaisesRegex(bnnep.ArgumentError, "consolidation is -1"):
            Optimizer(small(), consolidation=-1, **RATES)

    def test_deep_binary_activations(self):
        data = Dataset(*toy(300), classes=3)
        layers = [bnnep.fc(90), bnnep.fc(70), bnnep.fc(15)]
        options = {"classes": 3, "expand_output": 5, "dynamics": bnnep.Dynamics.BINARY, "free_steps": 40, "seed": 1}
        networks = [Network((12,), layers, start=start, **options) for start in (bnnep.Start.PAPER, bnnep.Start.BALANCED)]
        for network in networks:
            optimizer = Optimizer(network)
            self.assertFalse(optimizer.info.learns_alpha)
            for _ in range(30):
                optimizer.train_epoch(data, 10)
        self.assertLess(networks[1].evaluate(data).error, 0.1)
        self.assertTrue((networks[0].connections[0].alpha == networks[1].connections[0].alpha).all())
        self.assertTrue((networks[0].connections[2].alpha == 4 * networks[1].connections[2].alpha).all())

    def test_learns(self):
        train, test = Dataset(*toy(300), classes=3), Dataset(*toy(100, seed=1), classes=3)
        network = small(seed=1)
        before = network.evaluate(test)
        optimizer = Optimizer(network, **RATES)
        reports = [optimizer.train_epoch(train, 10) for _ in range(10)]
        seen = []
        after = network.evaluate(test, confusion=True, predictions=True, progress=seen.append)
        self.assertEqual((seen[-1].so_far.errors, seen[-1].so_far.predictions), (after.errors, None))
        self.assertGreater(before.error, 0.3)
        self.assertLess(after.error, 0.1)
        self.assertEqual((optimizer.info.batches, optimizer.info.epochs), (300, 10))
        self.assertEqual((reports[0].samples, reports[0].batches, len(reports[0].flips)), (300, 30, 2))
        self.assertGreater(reports[0].flips.sum(), 0)
        inputs, labels = test.read()
        np.testing.assert_array_equal(network.predict(inputs), after.predictions)
        self.assertEqual((after.predictions != labels).sum(), after.errors)
        counted = np.zeros((3, 3), int)
        np.add.at(counted, (labels, after.predictions), 1)
        np.testing.assert_array_equal(after.confusion, counted)
        self.assertEqual((before.confusion, before.predictions, before.flips.size), (None, None, 0))
        scores = network.scores(inputs.reshape(-1, 12).astype(np.float64))
        self.assertEqual(scores.shape, (100, 3))
        self.assertEqual(list(scores.argmax(axis=1)), list(network.predict(inputs)))

    def test_progress_and_cancel(self):
        data = Dataset(*toy(60), classes=3)
        whole, stopped = small(), small()
        seen = []
        wanted = Optimizer(whole, **RATES).train_epoch(data, 8, progress=seen.append)
        where = [(now.batches_done, now.batches_total, now.samples_done) for now in seen]
        self.assertEqual(where, [(k, 8, min(8 * k, 60)) for k in range(1, 9)])
        self.assertEqual(seen[-1].so_far.errors, wanted.errors)
        optimizer = Optimizer(stopped, **RATES)
        now = []
        with self.assertRaises(bnnep.Cancelled) as caught:
            optimizer.train_epoch(data, 8, progress=now.append, cancel=lambda: len(now) == 3)
        self.assertEqual(caught.exception.report.batches, 3)
        self.assertEqual((optimizer.info.batches, optimizer.info.epochs), (3, 0))
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
                if now.batches_done == batch:
                    raise LookupError("in progress")

            with self.assertRaisesRegex(LookupError, "in progress"):
                optimizer.train_epoch(data, 8, progress=progress)
        with self.assertRaises(ZeroDivisionError):
            optimizer.train_epoch(data, 8, cancel=lambda: 1 / 0)
        optimizer.train_epoch(data, 8)

    def test_interrupt_stops_an_epoch(self):
        program = (
            "import bnnep, numpy as np, os, signal, threading\n"
            "inputs = np.random.default_rng(0).random((20000, 784), np.float32)\n"
            "data = bnnep.Dataset(inputs, np.zeros(20000, int), classes=10)\n"
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


class Options(unittest.TestCase):
    def test_refusals(self):
        for options, kind, says in (
            ({"theta": 3.0}, bnnep.ArgumentError, "theta"),
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
            small().workspace.set_state(1, np.ones((3, 30), np.uint8))

    def test_contexts(self):
        lines = []
        context = Context("auto", threads=2, log=lambda level, line: lines.append((level, line)))
        names = {backend.name: backend for backend in context.backends}
        self.assertTrue(names["ref"].available and names["cpu"].available)
        self.assertIn("cpu", [device.name for device in names["cpu"].devices])
        optimizer = Optimizer(small(context=context), **RATES)
        del context
        gc.collect()
        optimizer.train_batch(*toy(4))  # whatever it has to say has somewhere to go
        self.assertTrue(all(level in (1, 2) and isinstance(line, str) for level, line in lines))
        with self.assertRaisesRegex(bnnep.BackendError, "gpu"):
            Context("gpu")
        with self.assertRaises(bnnep.OutOfMemoryError):
            small(context=Context(max_bytes=1000))
        with self.assertRaisesRegex(ValueError, "this context is closed"):
            with Context() as closed:
                pass
            small(context=closed)

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
            self.assertEqual(bnnep.file_text(file), "ein Vermerk: β")
            other.load(file)
            self.assertEqual((other.info.batches, other.info.epochs), (8, 1))
            self.assertEqual(whole.train_epoch(data, 8).errors, other.train_epoch(data, 8).errors)
            np.testing.assert_array_equal(whole.momentum(0), other.momentum(0))
            network = small()
            network.save(file)
            self.assertEqual((bnnep.file_text(file), bnnep.file_text(file, "nothing")), ("", ""))
            with self.assertRaisesRegex(TypeError, "contents"):
                network.save(os.fsencode(file))
            loaded = Network.load(file, context=Context("ref"), max_batch=5)
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


    def test_bytes_in_place_of_files(self):
        whole, other = Optimizer(small(), **RATES), Optimizer(small(seed=5), **RATES)
        whole.train_batch(*toy(8))
        checkpoint = whole.to_bytes("kept")
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "checkpoint")
            whole.save(file, "kept")
            with open(file, "rb") as opened:
                self.assertEqual(opened.read(), checkpoint)
        other.load(bytearray(checkpoint))
        self.assertEqual((other.to_bytes("kept"), bnnep.file_text(checkpoint)), (checkpoint, "kept"))
        network = Network.load(checkpoint)
        self.assertEqual(network.to_bytes(), Network.load(network.to_bytes()).to_bytes())
        for wrong in (b"", checkpoint[:-1]):
            with self.assertRaises(bnnep.FormatError):
                Network.load(wrong)


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
