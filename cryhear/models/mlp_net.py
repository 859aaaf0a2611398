"""The network of chapter 6 in PyTorch and skorch; imported only when one is trained or loaded.

Kept apart from ``mlp`` because importing PyTorch takes seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.utils.class_weight import compute_class_weight
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping, LRScheduler
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from torch import Tensor, nn

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


def perceptron(
    n_features: int, n_classes: int, hidden: tuple[int, ...], dropout: float, noise: float
) -> nn.Sequential:
    """Noise, then linear, batch normalisation, ReLU and dropout a layer; logits [n, n_classes]."""
    layers: list[nn.Module] = [GaussianNoise(noise)]
    for width in hidden:
        layers += [nn.Linear(n_features, width), nn.BatchNorm1d(width), nn.ReLU()]
        layers.append(nn.Dropout(dropout))
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


def train(
    settings: Any,
    seed: int,
    rows: tuple[np.ndarray, np.ndarray],
    valid: tuple[np.ndarray, np.ndarray],
    n_classes: int,
) -> MixupNet:
    """Train on rows (float32 [n, d], int64 [n]); stop early on `valid`, best weights restored.

    Deterministic for a seed, a machine and a number of threads; leaves every global generator and
    torch's number of threads as they were.
    """
    x, y = rows
    weight = _balanced(y, n_classes) if settings.class_weight else None
    with seeded(seed):
        net = MixupNet(
            perceptron(
                x.shape[1], n_classes, settings.hidden, settings.dropout, settings.input_noise_sd
            ),
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


def _balanced(y: np.ndarray, n_classes: int) -> Tensor:
    """scikit-learn's balanced weights of the classes in y; 0 for the others."""
    weight, present = torch.zeros(n_classes), np.unique(y)
    balanced = compute_class_weight("balanced", classes=present, y=y)
    weight[present] = torch.as_tensor(balanced, dtype=torch.float32)
    return weight


def _callbacks(settings: Any) -> list[tuple[str, Callback]]:
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
