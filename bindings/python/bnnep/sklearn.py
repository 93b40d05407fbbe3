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
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from ._context import Context
from ._data import Dataset
from ._network import Dynamics, Network, Start, fc
from ._optimizer import Optimizer

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # before 1.6 it was a method

    def validate_data(estimator: Any, *arrays: Any, **options: Any) -> Any:
        return estimator._validate_data(*arrays, **options)


__all__ = ["BinaryEPClassifier"]

LARGEST_BATCH = 64
UNITS_A_CLASS = 10  #: outputs of binary activations are read by their mean
STEPS_A_LAYER = 20  #: of binary activations


class BinaryEPClassifier(ClassifierMixin, BaseEstimator):
    """Binary weights, learnt by equilibrium propagation.

    hidden               units of each hidden layer, or of the only one; () for none
    activations          "real", from 0 to 1, or "binary", 0 or 1
    epochs               times through the data
    batch_size           samples a batch; "auto": 64, or a tenth of the data if that is less
    scale                bring each feature to a mean of 0 and a deviation of 1, by what fit() or the first
                         partial_fit() is given; False: they are about so, or from 0 to 1, already
    early_stopping       keep `validation_fraction` of the data back, and the network that errs least on it; stop
                         after `patience` epochs in which no other was better
    random_state         draws initial values, the order of the data and what is kept back
    n_jobs               threads to compute with, which change no result; None: 1, -1: one a processor
    verbose              1: print a line an epoch

    After fit(): `classes_`, `n_features_in_`, `n_iter_` (epochs done), `errors_` (share of training samples that each
    epoch began by taking for another class), `validation_errors_`, `network_` and `optimizer_`, and `temperature_`,
    which makes scores probabilities.
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
        self._begin(X, random)
        if self.early_stopping:
            self._fit_stopping(X, y, random)
        else:
            data = self._data(X, y)
            for _ in range(self.epochs):
                self._epoch(data)
        self._tell_temperature(X, y)
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
            self._begin(X, check_random_state(self.random_state))
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes={classes!r} are not those of the first call of partial_fit, {self.classes_!r}")
        self._epoch(self._data(X, y))
        self._tell_temperature(X, y)
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

    def _begin(self, X: NDArray[Any], random: np.random.RandomState) -> None:
        """A new network and its optimizer."""
        classes, hidden, binary = len(self.classes_), self._hidden(), self.activations == "binary"
        if classes < 2:
            raise ValueError(f"{classes} class in y, {self.classes_!r}; a classifier needs two or more")
        batch = min(LARGEST_BATCH, max(len(X) // 10, 1)) if self.batch_size == "auto" else int(self.batch_size)
        self._mean = X.mean(0, dtype=np.float64) if self.scale else np.zeros(X.shape[1])
        deviation = X.std(0, dtype=np.float64) if self.scale else np.ones(X.shape[1])
        self._deviation = np.where(deviation > 0, deviation, 1.0)
        options: dict[str, Any] = {"classes": classes, "max_batch": batch, "start": Start.BALANCED}
        if binary:
            options.update(dynamics=Dynamics.BINARY, expand_output=UNITS_A_CLASS,
                           free_steps=STEPS_A_LAYER * max(len(hidden), 1))  # fmt: skip
        layers = [fc(int(units)) for units in hidden] + [fc(classes * (UNITS_A_CLASS if binary else 1))]
        seeds = random.randint(np.iinfo(np.int32).max, size=2)
        self._seed = int(seeds[1])
        self.network_ = Network((X.shape[1],), layers, seed=int(seeds[0]), context=self._context(), **options)
        self.optimizer_ = Optimizer(self.network_, seed=self._seed)
        self.n_iter_, self.errors_, self.validation_errors_ = 0, [], []

    def _context(self) -> Context:
        """The library's 0 is one thread a processor."""
        jobs = 1 if self.n_jobs is None else self.n_jobs
        return Context(threads=max(jobs, 0))

    def _scaled(self, X: NDArray[Any]) -> NDArray[np.float32]:
        return ((X - self._mean) / self._deviation).astype(np.float32)

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
        error = self.optimizer_.train_epoch(data).error
        self.n_iter_ += 1
        self.errors_.append(error)
        if self.verbose:
            print(f"epoch {self.n_iter_}: training error {100 * error:.2f} %", flush=True)

    def _fit_stopping(self, X: NDArray[Any], y: NDArray[Any], random: np.random.RandomState) -> None:
        """Ends with the first of the best networks."""
        kept_back = dict(test_size=self.validation_fraction, random_state=random)
        try:
            parts = train_test_split(X, y, stratify=y, **kept_back)
        except ValueError:  # a class has too few samples
            parts = train_test_split(X, y, **kept_back)
        data, held = self._data(parts[0], parts[2]), self._data(parts[1], parts[3])
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

    def _tell_temperature(self, X: NDArray[Any], y: NDArray[Any]) -> None:
        """That by which scores come nearest to the labels' probabilities."""
        scores, codes = self._scores(X), self._codes(y)

        def surprise(log: float) -> float:
            told = log_softmax(np.exp(log) * scores, axis=1)
            return -float(told[np.arange(len(codes)), codes].mean())

        self.temperature_ = float(np.exp(-minimize_scalar(surprise, bounds=(-3.0, 5.0), method="bounded").x))

    # --- prediction -------------------------------------------------------------------------------------------------

    def _scores(self, X: NDArray[Any]) -> NDArray[np.float64]:
        return self.network_.scores(self._scaled(X)).astype(np.float64)

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
