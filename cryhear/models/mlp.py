"""Multilayer perceptron of chapter 6: a scikit-learn estimator over PyTorch and skorch, its search.

Input noise, hidden layers with batch normalisation, ReLU and dropout, mixup, class weights, label
smoothing, AdamW, gradient clipping, cosine annealing, early stopping with the best weights
restored. By default rows are imputed, standardised and reduced as for the classical models, and the
weights of the lowest validation loss are kept. The preset ``original`` does as the original study:
standardised rows without components, the weights of the highest validation accuracy, batches of 16,
and a search without mixup.

Importing this imports PyTorch, which takes seconds: those who may not need it import it in a function.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from scipy.stats import uniform
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer
from sklearn.model_selection import ParameterSampler
from sklearn.pipeline import Pipeline
from sklearn.utils.class_weight import compute_class_weight
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping, LRScheduler
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from torch import Tensor, nn

from cryhear.errors import ParameterError
from cryhear.models.classical import (
    SCORERS,
    SCORING,
    Search,
    SearchResult,
    plain,
    preprocessing,
    search_table,
)
from cryhear.models.estimators import inner_folds
from cryhear.params import Section

XY = tuple[np.ndarray, np.ndarray]
SPACE: dict[str, list[Any]] = {
    "hidden": [(512, 256), (512, 256, 128), (1024, 512, 256)],
    "lr": [1e-3, 3e-4, 1e-4],
    "weight_decay": [1e-4, 1e-3, 1e-2],
}
"""The original study's search space, but for dropout, which is drawn uniformly from a range."""
Width = Annotated[int, Field(ge=1, le=8192)]


class MLPSettings(Section):
    """Settings of one training.

    The defaults are the original's but for batches (it took 16 rows), components (it took none) and
    what chooses the epoch whose weights are kept (validation accuracy). `PRESETS` has its settings.
    """

    hidden: Annotated[tuple[Width, ...], Field(min_length=1)] = Field(
        (512, 256), description="widths of the hidden layers"
    )
    dropout: Annotated[float, Field(ge=0, le=0.95)] = Field(0.5, description="share of units")
    input_noise_sd: Annotated[float, Field(ge=0, le=10)] = Field(
        0.01, description="in units of the standardised inputs"
    )
    mixup_alpha: Annotated[float, Field(gt=0, le=10)] = Field(0.2, description="Beta(alpha, alpha)")
    mixup_probability: Annotated[float, Field(ge=0, le=1)] = Field(0.5, description="a batch")
    class_weight: bool = Field(True, description="weigh each class by its inverse frequency")
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, description="0 to 1")
    lr: Annotated[float, Field(gt=0, le=1)] = Field(1e-3, description="first learning rate")
    weight_decay: Annotated[float, Field(ge=0, le=10)] = Field(1e-3, description="of AdamW")
    gradient_clip_norm: Annotated[float, Field(gt=0)] = Field(1.0, description="largest L2 norm")
    batch_size: Annotated[int, Field(ge=2, le=65536)] = Field(128, description="rows")
    epochs: Annotated[int, Field(ge=1, le=10000)] = Field(50, description="at most")
    patience: Annotated[int, Field(ge=1, le=10000)] = Field(
        15, description="epochs without a better validation score before stopping"
    )
    monitor: Literal["loss", "accuracy"] = Field(
        "loss", description="validation score that stops training and chooses the weights kept"
    )
    standardise: bool = Field(True, description="false where rows come reduced already")
    pca_variance: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        0.95, description="share of variance kept; null for no PCA"
    )
    validation_folds: Annotated[int, Field(ge=2, le=50)] = Field(
        6, description="one of so many folds of the rows stops early where no rows are given to"
    )


PRESETS = {
    "default": MLPSettings(),
    "original": MLPSettings(batch_size=16, pca_variance=None, monitor="accuracy"),
}


_GENERATOR = threading.Lock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's generator at `seed` inside, as it was outside; one thread at a time, it is global."""
    with _GENERATOR, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class GaussianNoise(nn.Module):
    """Adds normal noise of standard deviation `sd` (in standardised units) while training."""

    def __init__(self, sd: float) -> None:
        super().__init__()
        self.sd = sd

    def forward(self, x: Tensor) -> Tensor:
        """`x` with noise while training, `x` itself otherwise."""
        return x + self.sd * torch.randn_like(x) if self.training and self.sd > 0 else x


def network(settings: MLPSettings, n_features: int, n_classes: int) -> nn.Sequential:
    """Noise, then linear, batch normalisation, ReLU and dropout a layer; logits [n, n_classes]."""
    layers: list[nn.Module] = [GaussianNoise(settings.input_noise_sd)]
    for width in settings.hidden:
        layers += [nn.Linear(n_features, width), nn.BatchNorm1d(width), nn.ReLU()]
        layers.append(nn.Dropout(settings.dropout))
        n_features = width
    return nn.Sequential(*layers, nn.Linear(n_features, n_classes))


class Batches:
    """Batches sliced from whole tensors: many times faster than a loader that collates rows.

    A last batch of one row, which batch normalisation cannot take, joins the one before it.
    """

    def __init__(self, dataset: Any, batch_size: int, shuffle: bool = False) -> None:
        self.x = torch.as_tensor(dataset.X)
        self.y = None if dataset.y is None else torch.as_tensor(dataset.y)
        self.batch_size = batch_size
        self.shuffle = shuffle

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        n = len(self.x)
        order = torch.randperm(n) if self.shuffle else torch.arange(n)
        for rows in batches(order, self.batch_size):
            # skorch expects a target even where it only predicts, and ignores it there.
            yield self.x[rows], (self.y[rows] if self.y is not None else torch.zeros(len(rows)))


def batches(order: Tensor, size: int) -> list[Tensor]:
    """`order` cut into pieces of `size`; a last piece of one joins its neighbour."""
    pieces = list(order.split(size))
    if len(pieces) > 1 and len(pieces[-1]) == 1:
        pieces[-2:] = [torch.cat(pieces[-2:])]
    return pieces


class MixupNet(NeuralNetClassifier):
    """A skorch classifier whose training batches are mixed up (Zhang et al. 2018) now and then.

    With probability `mixup_probability` a batch becomes ``w x + (1 - w) x'`` for a shuffled
    partner ``x'`` and ``w ~ Beta(alpha, alpha)``, and its loss the same mixture of both labels'.
    """

    def __init__(
        self,
        *args: Any,
        mixup_alpha: float = 0.2,
        mixup_probability: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.mixup_alpha = mixup_alpha
        self.mixup_probability = mixup_probability

    def train_step_single(self, batch: tuple[Tensor, Tensor], **fit_params: Any) -> dict[str, Any]:
        """One forward and backward pass, mixed up or not; called by skorch."""
        self._set_training(True)
        x, y = batch
        if float(torch.rand(())) < self.mixup_probability:
            w = float(torch.distributions.Beta(self.mixup_alpha, self.mixup_alpha).sample())
            partner = torch.randperm(len(x))
            output = self.infer(w * x + (1 - w) * x[partner])
            loss = w * self.criterion_(output, y) + (1 - w) * self.criterion_(output, y[partner])
        else:
            output = self.infer(x)
            loss = self.criterion_(output, y)
        loss.backward()
        return {"loss": loss, "y_pred": output}


class Curves(Callback):
    """Records loss and accuracy of training and validation rows alike: no dropout, no mixing."""

    def on_epoch_end(self, net: Any, dataset_train: Any, dataset_valid: Any, **_: Any) -> None:
        """Add the epoch's figures to the net's history; called by skorch."""
        net.module_.eval()
        for side, rows in (("train", dataset_train), ("valid", dataset_valid)):
            x, target = torch.as_tensor(rows.X), torch.as_tensor(rows.y)
            with torch.no_grad():
                output = net.module_(x)
                loss = float(net.criterion_(output, target))
                right = float((output.argmax(1) == target).float().mean())
            net.history.record(f"plain_{side}_loss", loss)
            net.history.record(f"plain_{side}_acc", right)
        net.history.record("lr", net.optimizer_.param_groups[0]["lr"])


def train(settings: MLPSettings, seed: int, rows: XY, valid: XY, n_classes: int) -> MixupNet:
    """Train on rows (float32 [n, d], int64 [n]); stop early on `valid`, best weights restored.

    Deterministic for a seed, a machine and a number of threads; leaves every global generator and
    torch's number of threads as they were.
    """
    x, y = rows
    weight = None
    if settings.class_weight:
        balanced = compute_class_weight("balanced", classes=np.arange(n_classes), y=y)
        weight = torch.as_tensor(balanced, dtype=torch.float32)
    with seeded(seed):
        net = MixupNet(
            network(settings, x.shape[1], n_classes),
            criterion=nn.CrossEntropyLoss,
            criterion__weight=weight,
            criterion__label_smoothing=settings.label_smoothing,
            optimizer=torch.optim.AdamW,
            lr=settings.lr,
            optimizer__weight_decay=settings.weight_decay,
            optimizer__fused=True,
            max_epochs=settings.epochs,
            batch_size=settings.batch_size,
            iterator_train=Batches,
            iterator_train__shuffle=True,
            iterator_valid=Batches,
            iterator_valid__batch_size=4096,
            train_split=predefined_split(Dataset(*valid)),
            classes=list(range(n_classes)),
            mixup_alpha=settings.mixup_alpha,
            mixup_probability=settings.mixup_probability,
            callbacks=_callbacks(settings),
            callbacks__valid_acc=None,
            callbacks__print_log=None,
            verbose=0,
        )
        net.fit(x, y)
    net.train_split = None  # a fitted net keeps no rows
    return net


def _callbacks(settings: MLPSettings) -> list[tuple[str, Callback]]:
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR
    watched = {"loss": "plain_valid_loss", "accuracy": "plain_valid_acc"}[settings.monitor]
    stop = EarlyStopping(
        watched, settings.patience, lower_is_better=settings.monitor == "loss", load_best=True
    )
    return [
        ("curves", Curves()),
        ("clip", GradientNormClipping(settings.gradient_clip_norm)),
        ("schedule", LRScheduler(schedule, T_max=settings.epochs, monitor=None)),
        ("stop", stop),
    ]


class MLP(ClassifierMixin, BaseEstimator):
    """The perceptron behind the interface of scikit-learn.

    Parameters
    ----------
    settings : MLPSettings, optional
    seed : int
        Of weights, batches, noise, dropout, mixup and of the validation fold. The same seed gives
        the same numbers on one machine with the same number of threads (torch's own, from
        ``OMP_NUM_THREADS``, left alone here).
    preprocess : Pipeline, optional
        Fitted on the same training rows already, as in a search.

    Attributes
    ----------
    classes_ : int [k]
    preprocess_ : Pipeline
        Fitted on the training rows alone, without those that stop early.
    net_ : skorch net
        ``net_.module_.state_dict()`` are the weights, :func:`network` the module they fit.
    """

    def __init__(
        self,
        settings: MLPSettings | None = None,
        seed: int = 0,
        preprocess: Pipeline | None = None,
    ) -> None:
        self.settings = settings
        self.seed = seed
        self.preprocess = preprocess

    def fit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        groups: np.ndarray | None = None,
        validation: XY | None = None,
    ) -> MLP:
        """Train on rows [n, d] and codes [n].

        Parameters
        ----------
        groups : [n], optional
            Infants; one is never on both sides of the fold that stops early.
        validation : (X, y), optional
            Rows that stop early. None takes a stratified fold of the training rows.

        Raises
        ------
        ParameterError
            If there is too little to train on, or `validation` holds a class that training lacks.
        """
        settings, X, y = self.settings or MLPSettings(), np.asarray(X), np.asarray(y)
        if validation is None:
            train_rows, held = inner_folds(y, groups, settings.validation_folds, self.seed)[0]
            X, y, validation = X[train_rows], y[train_rows], (X[held], y[held])
        self.classes_ = np.unique(y)
        strange = sorted(set(np.asarray(validation[1]).tolist()) - set(self.classes_.tolist()))
        if len(X) < 2 or len(validation[0]) == 0 or strange:
            raise ParameterError(
                f"{len(X)} training and {len(validation[0])} validation rows, classes in validation "
                f"alone {strange}; expected at least 2 and 1, and none: pass other validation rows"
            )
        self.preprocess_ = self.preprocess or _preprocessing(settings, self.seed).fit(X)
        rows, valid = self._encoded(X, y), self._encoded(*validation)
        self.net_ = train(settings, self.seed, rows, valid, len(self.classes_))
        return self

    def _encoded(self, X: np.ndarray, y: np.ndarray) -> XY:
        return self._inputs(X), np.searchsorted(self.classes_, y).astype(np.int64)

    def _inputs(self, X: np.ndarray) -> np.ndarray:
        return self.preprocess_.transform(np.asarray(X)).astype(np.float32)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities, float64 [n, classes], each row summing to one."""
        p = self.net_.predict_proba(self._inputs(X)).astype(np.float64)
        return p / p.sum(axis=1, keepdims=True)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Most probable class, [n]."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def _preprocessing(settings: MLPSettings, seed: int) -> Pipeline:
    return preprocessing(seed, settings.pca_variance, settings.standardise)


def history(mlp: MLP) -> pd.DataFrame:
    """Training curves, one row an epoch.

    Returns
    -------
    DataFrame
        epoch (from 1); train_loss, train_acc, valid_loss, valid_acc, all on plain rows without
        dropout or mixing, so that their gap is the generalisation gap; objective (the mean loss
        of the batches as trained on); lr (as used in the epoch); best (its weights were kept).
    """
    plain_rows = [f"{side}_{what}" for side in ("train", "valid") for what in ("loss", "acc")]
    read = ("epoch", *(f"plain_{name}" for name in plain_rows), "train_loss", "lr")
    columns = ["epoch", *plain_rows, "objective", "lr"]
    curves = pd.DataFrame(mlp.net_.history[:, read], columns=columns)
    curves["best"] = curves["epoch"] == dict(mlp.net_.callbacks_)["stop"].best_epoch_
    return curves


@dataclass(frozen=True)
class MLPSearch(Search):
    """How the perceptron's settings are searched: `Search`, and what only it has.

    Attributes
    ----------
    epochs : int
        Of each candidate.
    dropout : (float, float)
        Range searched.
    """

    epochs: int = 20
    dropout: tuple[float, float] = (0.3, 0.7)


def search_mlp(
    X: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray | None = None,
    validation: XY | None = None,
    how: MLPSearch = MLPSearch(),
    settings: MLPSettings | None = None,
) -> SearchResult:
    """Random search over the original's space, scored on the validation rows; the best trained out.

    Parameters
    ----------
    X, y, groups, validation
        As in :meth:`MLP.fit`.
    how : MLPSearch
        Its preset says what ranks (class-weighted log loss, or accuracy), whether trials mix rows up
        and stop early (the original's do neither; its final training does both), and the settings
        where none are given.
    settings : MLPSettings, optional
        All that is not searched, epochs of the final training among it.
    """
    base, (low, high) = settings or PRESETS[how.preset], how.dropout
    space = {**SPACE, "dropout": uniform(low, high - low)}
    drawn = [plain(p) for p in ParameterSampler(space, how.n_iter, random_state=how.seed)]
    if validation is None:
        train_rows, held = inner_folds(y, groups, base.validation_folds, how.seed)[0]
        X, y, validation = X[train_rows], y[train_rows], (X[held], y[held])
    scoring = SCORING[how.preset]["mlp"]
    scorer, scores = SCORERS.get(scoring) or get_scorer(scoring), np.empty((how.n_iter, 1))
    trial: dict[str, Any] = {"epochs": how.epochs}
    if how.preset == "original":  # its trials mix nothing up and are not stopped
        trial |= {"mixup_probability": 0.0, "patience": how.epochs}
    before = _preprocessing(base, how.seed).fit(X)
    for i, params in enumerate(drawn):
        mlp = MLP(base.model_copy(update={**params, **trial}), how.seed, before)
        scores[i] = scorer(mlp.fit(X, y, validation=validation), *validation)
    best = drawn[int(scores.argmax())]
    mlp = MLP(base.model_copy(update=best), how.seed, before).fit(X, y, validation=validation)
    return SearchResult(best, search_table("mlp", how.preset, scoring, drawn, scores), mlp)
