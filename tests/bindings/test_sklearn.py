#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""bnnep.sklearn: scikit-learn's own checks of estimators, its tools around it, its small data sets.

    test_sklearn.py

Exit status 77: scikit-learn is missing.
"""
import copy
import importlib.util
import io
import pickle
import sys
import threading
import unittest
from contextlib import redirect_stdout

missing = [name for name in ("numpy", "scipy", "sklearn") if not importlib.util.find_spec(name)]
if missing:
    print(f"skipped: no {', '.join(missing)}")
    sys.exit(77)

import numpy as np
from sklearn import datasets, linear_model, model_selection, pipeline, preprocessing
from sklearn.utils import estimator_checks

from bnnep.sklearn import BinaryEPClassifier

DIGITS = datasets.load_digits()
#: few epochs, where what is learnt does not matter
SHORT = {"hidden": 20, "epochs": 3, "random_state": 1}


def few(count=300):
    return DIGITS.data[:count], DIGITS.target[:count]


def split(data, seed):
    return model_selection.train_test_split(data.data, data.target, random_state=seed, stratify=data.target)


def checks_of(estimator):
    if hasattr(estimator_checks, "estimator_checks_generator"):  # since 1.6
        return estimator_checks.estimator_checks_generator(estimator)
    return estimator_checks.check_estimator(estimator, generate_only=True)


class Checks(unittest.TestCase):
    def test_estimator(self):
        for activations in ("real", "binary"):
            classifier = BinaryEPClassifier(activations=activations)
            for estimator, check in checks_of(classifier):
                with self.subTest(activations=activations, check=check.func.__name__):
                    check(estimator)

    def test_tools(self):
        """Pipelines, searches and cross-validation, in processes of their own too."""
        X, y = few()
        line = pipeline.make_pipeline(preprocessing.MinMaxScaler(), BinaryEPClassifier(scale=False, **SHORT))
        self.assertEqual(len(model_selection.cross_val_score(line, X, y, cv=3, n_jobs=2)), 3)
        search = model_selection.GridSearchCV(BinaryEPClassifier(**SHORT), {"hidden": [(10,), (30, 20)]}, cv=2)
        self.assertIn(search.fit(X, y).best_params_["hidden"], [(10,), (30, 20)])


class Results(unittest.TestCase):
    def test_small_data(self):
        """Nothing set but seeds: medians of some splits beside logistic regression's. (bench/small_data.py has ten.)"""
        for name, seeds in (("digits", 1), ("breast_cancer", 3), ("wine", 3)):
            data = getattr(datasets, f"load_{name}")()
            for activations, behind in (("real", 0.01), ("binary", 0.03)):
                scores, others = [], []
                for seed in range(seeds):
                    X, test_X, y, test_y = split(data, seed)
                    scaler = preprocessing.StandardScaler().fit(X)
                    logistic = linear_model.LogisticRegression(max_iter=1000).fit(scaler.transform(X), y)
                    others.append(logistic.score(scaler.transform(test_X), test_y))
                    classifier = BinaryEPClassifier(activations=activations, random_state=seed)
                    scores.append(classifier.fit(X, y).score(test_X, test_y))
                with self.subTest(name=name, activations=activations, scores=scores, logistic=others):
                    self.assertGreaterEqual(np.median(scores), np.median(others) - behind)

    def test_probabilities(self):
        """Of what it has not seen, those it is sure of are mostly right."""
        X, test_X, y, test_y = split(DIGITS, 0)
        classifier = BinaryEPClassifier(random_state=0, epochs=30).fit(X, y)
        told = classifier.predict_proba(test_X)
        sure = told.max(1) > 0.9
        self.assertGreater(sure.mean(), 0.3)
        self.assertGreater((told.argmax(1) == test_y)[sure].mean(), 0.9)


class Learning(unittest.TestCase):
    def same(self, a, b, X):
        np.testing.assert_array_equal(a.decision_function(X), b.decision_function(X))
        for one, other in zip(a.network_.connections, b.network_.connections):
            np.testing.assert_array_equal(one.signs, other.signs)

    def test_copies_go_on(self):
        X, y = few()
        for activations in ("real", "binary"):
            first = BinaryEPClassifier(activations=activations, batch_size=7, **SHORT).fit(X, y)
            others = (pickle.loads(pickle.dumps(first)), copy.deepcopy(first))
            for other in others:
                self.same(first, other, X)
                self.assertEqual(other.classes_.tolist(), first.classes_.tolist())
            first.partial_fit(X, y)
            for other in others:
                self.same(first, other.partial_fit(X, y), X)
                self.assertEqual((other.n_iter_, other.temperature_), (4, first.temperature_))

    def test_threads(self):
        X, y = few()
        one = BinaryEPClassifier(**SHORT).fit(X, y)
        for jobs in (2, -1, -2, 1000):
            self.same(one, BinaryEPClassifier(n_jobs=jobs, **SHORT).fit(X, y), X)
        with self.assertRaises(ValueError):
            BinaryEPClassifier(n_jobs=0).fit(X, y)
        wanted, got = one.predict_proba(X), [None] * 4

        def predict(place):
            for _ in range(10):
                got[place] = one.predict_proba(X)

        threads = [threading.Thread(target=predict, args=(place,)) for place in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for told in got:
            np.testing.assert_array_equal(told, wanted)

    def test_constant_features(self):
        """Of which rounding makes a deviation: a value next to it is no news."""
        X, y = few()
        X = np.column_stack([X, np.full(len(X), 0.1)])
        classifier = BinaryEPClassifier(hidden=20, epochs=20, random_state=0).fit(X, y)
        near = np.column_stack([X[:, :-1], np.full(len(X), 0.1000001)])
        np.testing.assert_allclose(classifier.decision_function(near), classifier.decision_function(X), atol=1e-3)
        np.testing.assert_array_equal(classifier.predict(X.astype(np.float32)), classifier.predict(X))

    def test_what_was_interrupted(self):
        """An epoch that stopped half way is not gone on with on other data, and there is something to predict with."""
        X, y = few()
        classifier = BinaryEPClassifier(**SHORT).fit(X, y)
        train = classifier.optimizer_.train_epoch

        def interrupt(now):
            raise KeyboardInterrupt

        def stopped(data):
            return train(data, progress=interrupt)  # after its first batch

        classifier.optimizer_.train_epoch = stopped
        with self.assertRaises(KeyboardInterrupt):
            classifier.partial_fit(X, y)
        classifier.optimizer_.train_epoch = train
        classifier.partial_fit(X[:40], y[:40])
        self.assertEqual((classifier.n_iter_, classifier.predict_proba(X).shape), (4, (len(X), 10)))

    def test_partial_fit(self):
        X, y = few()
        names = np.array([f"digit {digit}" for digit in y])
        classifier = BinaryEPClassifier(**SHORT)
        with self.assertRaisesRegex(ValueError, "classes must be given"):
            classifier.partial_fit(X, names)
        classifier.partial_fit(X[:50], names[:50], classes=np.unique(names))
        for first in range(50, 300, 50):
            classifier.partial_fit(X[first : first + 50], names[first : first + 50])
        self.assertEqual((classifier.n_iter_, len(classifier.errors_)), (6, 6))
        temperature = classifier.temperature_
        classifier.partial_fit(X[:1], names[:1])
        self.assertEqual(classifier.temperature_, temperature)
        self.assertIn(classifier.predict(X[:1])[0], names)
        with self.assertRaisesRegex(ValueError, "digit 11"):
            classifier.partial_fit(X[:1], ["digit 11"])
        with self.assertRaisesRegex(ValueError, "not those of the first call"):
            classifier.partial_fit(X, names, classes=["digit 1", "digit 2"])

    def test_early_stopping(self):
        X, test_X, y, test_y = split(DIGITS, 0)
        classifier = BinaryEPClassifier(early_stopping=True, patience=3, random_state=0).fit(X, y)
        errors = classifier.validation_errors_
        self.assertEqual(len(errors), classifier.n_iter_)
        self.assertEqual(errors.index(min(errors)), len(errors) - 4)
        self.assertGreater(classifier.score(test_X, test_y), 0.93)

    def test_best_is_kept(self):
        """By what was kept back the network errs as the best epoch did."""
        X, y = few()
        classifier = BinaryEPClassifier(hidden=20, early_stopping=True, epochs=8, random_state=np.random.RandomState(3))
        classifier.fit(X, y)
        again = np.random.RandomState(3)
        _, held, _, labels = model_selection.train_test_split(X, y, stratify=y, test_size=0.1, random_state=again)
        self.assertAlmostEqual(1 - classifier.score(held, labels), min(classifier.validation_errors_))

    def test_verbose(self):
        out = io.StringIO()
        with redirect_stdout(out):
            BinaryEPClassifier(verbose=1, **SHORT).fit(*few())
        self.assertRegex(out.getvalue(), r"^(epoch \d: training error \d+\.\d\d %\n){3}$")

    def test_refusals(self):
        X, y = few()
        for options, says in (
            ({"activations": "sigmoid"}, "activations='sigmoid'"),
            ({"epochs": 0}, "epochs=0"),
            ({"batch_size": "all"}, "batch_size='all'"),
            ({"hidden": (20, 0)}, "hidden=0"),
            ({"hidden": (2.5,)}, "hidden=2.5"),
            ({"patience": -1}, "patience=-1"),
        ):
            with self.subTest(options=options), self.assertRaisesRegex(ValueError, says):
                BinaryEPClassifier(**options).fit(X, y)
        with self.assertRaisesRegex(ValueError, "1 class in y"):
            BinaryEPClassifier().fit(X, np.zeros(len(y)))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
