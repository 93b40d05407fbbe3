# SPDX-License-Identifier: MIT
"""A classifier as scikit-learn has them: pipelines, searches and cross-validation take it.

    from bnnep.sklearn import BinaryEPClassifier

    classifier = BinaryEPClassifier(hidden=(200,), random_state=0).fit(X, y)
    classifier.score(test_X, test_y)

It learns by the default rule, which needs no other numbers (docs/learning-rule.md). Needs scikit-learn.
"""
from __future__ import annotations

import numbers
from typing import Any, Optional, Sequence, Union

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from ._context import Context
from ._data import Dataset
from ._network import Dynamics, Network, Start, fc
from ._optimizer import Optimizer
from ._workspace import Workspace

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # before 1.6 it was a method

    def validate_data(estimator: Any, *arrays: Any, **options: Any) -> Any:
        return estimator._validate_data(*arrays, **options)


__all__ = ["BinaryEPClassifier"]

LARGEST_BATCH = 64
MOST_THREADS = 64
ENOUGH = 50  #: samples to fit a temperature to
UNITS_A_CLASS = 10  #: outputs of binary activations are read by their mean
STEPS_A_LAYER = 20  #: of binary activations


class BinaryEPClassifier(ClassifierMixin, BaseEstimator):
    """Binary weights, learnt by equilibrium propagation.

    hidden               units of each hidden layer, or of the only one; () for none
    activations          "real", from 0 to 1, or "binary", 0 or 1
    epochs               times through the data
    batch_size           samples a batch; "auto": 64, or in fit() a tenth of the samples if that is less
    scale                bring each feature to a mean of 0 and a deviation of 1, by what fit() trains on or the first
                         partial_fit() is given, which should be typical; False: features are about so, or from 0 to
                         1, already
    early_stopping       hold `validation_fraction` of the data back, and end with the network that errs least on it;
                         stop after `patience` epochs in which no other was better
    random_state         draws initial values, the order of the data and what is held back
    n_jobs               threads to compute with, as joblib counts, at most 64; they change no result
    verbose              1: print a line an epoch

    After fit(): `classes_`, `n_features_in_`, `n_iter_` (epochs done), `errors_` (share of the samples whose class was
    wrong while each epoch trained on them), `validation_errors_`, `network_` and `optimizer_`, `scaler_`, and
    `temperature_`, which makes scores probabilities: that of what was held back, else of the training samples, of
    which the network is surer than of others.

    Several threads may predict at once.
    """

    def __init__(
        self,
        hidden: Union[int, Sequence[int]] = (200,),
        *,
        activations: str = "real",
        epochs: int = 100,
        batch_size: Union[int, str] = "auto",
        scale: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        random_state: Any = None,
        n_jobs: Optional[int] = None,
        verbose: int = 0,
    ) -> None:
        self.hidden = hidden
        self.activations = activations
        self.epochs = epochs
        self.batch_size = batch_size
        self.scale = scale
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    # --- learning ---------------------------------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: ArrayLike) -> BinaryEPClassifier:
        """Learns from samples [count, features] and their labels [count], of any kind, anew."""
        self._check()
        X, y = validate_data(self, X, y, dtype=(np.float64, np.float32))
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        random = check_random_state(self.random_state)
        if self.early_stopping:
            return self._fit_stopping(X, y, random)
        self._begin(X, random, self._batch_of(len(X)))
        data = self._data(X, y)
        for _ in range(self.epochs):
            self._epoch(data)
        self._fit_temperature(X, y)
        return self

    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: Optional[ArrayLike] = None) -> BinaryEPClassifier:
        """Goes through these samples once. The first call needs all `classes` that will come."""
        self._check()
        first = not hasattr(self, "network_")
        X, y = validate_data(self, X, y, dtype=(np.float64, np.float32), reset=first)
        check_classification_targets(y)
        if first:
            if classes is None:
                raise ValueError("classes must be given to the first call of partial_fit")
            self.classes_ = np.unique(classes)
            self._begin(X, check_random_state(self.random_state), self._batch_of(np.inf))
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes={classes!r} are not those of the first call of partial_fit, {self.classes_!r}")
        self._epoch(self._data(X, y))
        if first or len(X) >= ENOUGH:
            self._fit_temperature(X, y)
        return self

    def _check(self) -> None:
        if self.activations not in ("real", "binary"):
            raise ValueError(f'activations={self.activations!r}; "real" and "binary" are known')
        automatic = isinstance(self.batch_size, str) and self.batch_size == "auto"
        for name, value in (("epochs", self.epochs), ("batch_size", 1 if automatic else self.batch_size),
                            ("patience", self.patience), *(("hidden", units) for units in self._hidden())):  # fmt: skip
            if not isinstance(value, numbers.Integral) or value < 1:
                raise ValueError(f"{name}={value!r}; it must be an integer above 0")

    def _hidden(self) -> tuple[Any, ...]:
        return (self.hidden,) if isinstance(self.hidden, numbers.Integral) else tuple(self.hidden)  # type: ignore[arg-type]

    def _batch_of(self, samples: float) -> int:
        if self.batch_size == "auto":
            return int(min(LARGEST_BATCH, max(samples // 10, 1)))
        return int(self.batch_size)

    def _begin(self, X: NDArray[Any], random: np.random.RandomState, batch: int) -> None:
        """A new network and its optimizer."""
        classes, hidden, binary = len(self.classes_), self._hidden(), self.activations == "binary"
        if classes < 2:
            raise ValueError(f"{classes} class in y, {self.classes_!r}; a classifier needs two or more")
        self.scaler_ = StandardScaler().fit(X.astype(np.float64)) if self.scale else None
        options: dict[str, Any] = {"classes": classes, "max_batch": batch, "start": Start.BALANCED}
        if binary:
            options.update(dynamics=Dynamics.BINARY, expand_output=UNITS_A_CLASS,
                           free_steps=STEPS_A_LAYER * max(len(hidden), 1))  # fmt: skip
        layers = [fc(int(units)) for units in hidden] + [fc(classes * (UNITS_A_CLASS if binary else 1))]
        seeds = random.randint(np.iinfo(np.int32).max, size=2)
        self._seed = int(seeds[1])
        self.network_ = Network((X.shape[1],), layers, seed=int(seeds[0]), context=self._context(), **options)
        self.optimizer_ = Optimizer(self.network_, seed=self._seed)
        self.n_iter_, self.errors_, self.validation_errors_, self.temperature_ = 0, [], [], 1.0

    def _context(self) -> Context:
        return Context(threads=min(effective_n_jobs(self.n_jobs), MOST_THREADS))

    def _scaled(self, X: NDArray[Any]) -> NDArray[np.float32]:
        values = X if self.scaler_ is None else self.scaler_.transform(X.astype(np.float64))
        return values.astype(np.float32)

    def _codes(self, y: NDArray[Any]) -> NDArray[np.int32]:
        codes = np.searchsorted(self.classes_, y)
        known = codes < len(self.classes_)
        known[known] = self.classes_[codes[known]] == y[known]
        if not known.all():
            raise ValueError(f"labels {np.unique(y[~known])!r} are not among the classes {self.classes_!r}")
        return codes.astype(np.int32)

    def _data(self, X: NDArray[Any], y: NDArray[Any]) -> Dataset:
        return Dataset(self._scaled(X), self._codes(y), classes=len(self.classes_))

    def _epoch(self, data: Dataset) -> None:
        try:
            error = self.optimizer_.train_epoch(data).error
        except BaseException:  # the next call is an epoch of its own, not the rest of this one
            done = self.optimizer_.info
            self.optimizer_.set_position(done.batches, done.epochs)
            raise
        self.n_iter_ += 1
        self.errors_.append(error)
        if self.verbose:
            print(f"epoch {self.n_iter_}: training error {100 * error:.2f} %", flush=True)

    def _fit_stopping(self, X: NDArray[Any], y: NDArray[Any], random: np.random.RandomState) -> BinaryEPClassifier:
        """Ends with the first of the best networks."""
        part = dict(test_size=self.validation_fraction, random_state=random)
        try:
            X, held_X, y, held_y = train_test_split(X, y, stratify=y, **part)
        except ValueError:  # a class has too few samples
            X, held_X, y, held_y = train_test_split(X, y, **part)
        self._begin(X, random, self._batch_of(len(X)))
        data, held = self._data(X, y), self._data(held_X, held_y)
        best = b""
        for _ in range(self.epochs):
            self._epoch(data)
            self.validation_errors_.append(self.network_.evaluate(held).error)
            since = self.n_iter_ - 1 - int(np.argmin(self.validation_errors_))
            if since == 0:
                best = self.optimizer_.to_bytes()
            if since >= self.patience:
                break
        self.optimizer_.load(best)
        self._fit_temperature(held_X, held_y)
        return self

    def _fit_temperature(self, X: NDArray[Any], y: NDArray[Any]) -> None:
        """That by which probabilities fit these samples best, and one more of each class for each of them (Laplace's
        rule): few samples without an error are no proof."""
        scores, codes = self._scores(X), self._codes(y)
        classes, samples = len(self.classes_), len(codes)
        shares = np.full((samples, classes), 1.0 / (samples + classes))
        shares[np.arange(samples), codes] += samples / (samples + classes)

        def log_loss(log: float) -> float:
            return -float((shares * log_softmax(np.exp(log) * scores, axis=1)).sum() / samples)

        self.temperature_ = float(np.exp(-minimize_scalar(log_loss, bounds=(-3.0, 5.0), method="bounded").x))

    # --- prediction -------------------------------------------------------------------------------------------------

    def _scores(self, X: NDArray[Any]) -> NDArray[np.float64]:
        with Workspace(self.network_) as workspace:  # that of the network is for one caller at a time
            return self.network_.scores(self._scaled(X), workspace=workspace).astype(np.float64)

    def _checked_scores(self, X: ArrayLike) -> NDArray[np.float64]:
        check_is_fitted(self)
        return self._scores(validate_data(self, X, dtype=(np.float64, np.float32), reset=False))

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """The score of each class, [count, classes]; of two, that of the second less that of the first, [count]."""
        scores = self._checked_scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The class with the largest score, the first if several are."""
        best = self._checked_scores(X).argmax(1)
        return self.classes_[best]

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """The softmax of scores / temperature_, [count, classes]."""
        return softmax(self._checked_scores(X) / self.temperature_, axis=1)

    # --- copies -----------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "network_" in state:
            del state["network_"]
            state["optimizer_"] = self.optimizer_.to_bytes()
            state["_max_batch"] = self.network_.info.max_batch
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        checkpoint, batch = state.get("optimizer_"), state.pop("_max_batch", 0)
        super().__setstate__(state)
        if checkpoint is not None:
            self.network_ = Network.load(checkpoint, context=self._context(), max_batch=batch)
            self.optimizer_ = Optimizer(self.network_, seed=self._seed)
            self.optimizer_.load(checkpoint)
