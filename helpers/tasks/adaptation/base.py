"""The training step of domain adaptation: radiographs with masks from the source, radiographs alone from the target.

A method minimises a weighted sum of terms, each with one value a radiograph. All of it is one compiled Keras step, so
that it runs on TensorFlow and on JAX, on one device and on several.
"""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from helpers.learn.augmented_model import augment, with_background
from helpers.learn.batches import xla_compiled
from helpers.learn.learning_rate import WarmupCosine
from helpers.learn.precision import with_loss_scaling
from helpers.prepare.augment import AugmentationParams, apply
from helpers.tasks.adaptation.ema import EMA_DECAY, ema_copy

_TARGET = "target_"


def target_part(batch: Mapping[str, keras.KerasTensor]) -> dict[str, keras.KerasTensor]:
    """The target's part of an adaptation batch, by the names that the source's part has.

    Args:
        batch: as `helpers.learn.batches.adaptation_batches` yields it, each array of shape (batch, ...).
    """
    return {name.removeprefix(_TARGET): array for name, array in batch.items() if name.startswith(_TARGET)}


def source_part(batch: Mapping[str, keras.KerasTensor]) -> dict[str, keras.KerasTensor]:
    """The source's part of an adaptation batch: what `helpers.learn.augmented_model.augment` takes.

    Args:
        batch: as `helpers.learn.batches.adaptation_batches` yields it, each array of shape (batch, ...).
    """
    return {name: array for name, array in batch.items() if not name.startswith(_TARGET) and name != "domain"}


def augmentation_params(radiographs: Mapping[str, keras.KerasTensor]) -> AugmentationParams:
    """The augmentation parameters of a hospital's part of a batch.

    Args:
        radiographs: by name, each array of shape (batch, ...), as `source_part` and `target_part` give them.
    """
    return AugmentationParams(
        **{name: array for name, array in radiographs.items() if name not in ("images", "foreground", "domain")}
    )


@xla_compiled
def augment_unlabelled(radiographs: Mapping[str, keras.KerasTensor]) -> keras.KerasTensor:
    """Augmented radiographs, without masks.

    Args:
        radiographs: `images`, (batch, size, size, 1), and the augmentation parameters by name.

    Returns:
        (batch, size, size, 1) float32.
    """
    return apply(ops.cast(radiographs["images"], "float32"), None, augmentation_params(radiographs))[0]


class AdaptationModel(keras.Model):
    """The training step that all methods share; a method is a subclass with `terms`.

    Args:
        network: the one that adapts.
        weights: of the terms, by name; terms without a weight are only reported.
        momentum: decay of the exponential moving average, a step.

    Attributes:
        ema_network: the result: the exponential moving average (EMA) of the weights of the network that adapts (Polyak
            and Juditsky 1992). Two adversaries circle round their equilibrium; the average is nearer to it than either
            (Yazici et al. 2019, arXiv 1806.04498).
        fraction_spent: the fraction of the budget that is spent, from 0 to 1; `AdaptationSchedule` sets it.
    """

    def __init__(self, network: keras.Model, weights: Mapping[str, float], momentum: float = EMA_DECAY) -> None:
        # Half precision begins in the networks: updates of the average would be rounded away.
        super().__init__(name="adaptation", dtype="float32", autocast=False)
        self.ema_network, self._update_ema = ema_copy(network, momentum)
        self.term_weights = dict(weights)
        self.fraction_spent = self.add_weight(
            name="fraction_spent", shape=(), initializer="zeros", trainable=False, dtype="float32"
        )
        self.means = {name: keras.metrics.Mean(name) for name in self.reported()}

    def reported(self) -> tuple[str, ...]:
        """The names of the terms that are logged; a method that gives more of them overrides it."""
        return tuple(self.term_weights)

    def terms(self, batch: Mapping[str, keras.KerasTensor], training: bool) -> dict[str, keras.KerasTensor]:
        """The terms of the loss by name, one value a radiograph.

        Args:
            batch: as `helpers.learn.batches.adaptation_batches` yields it, each array of shape (batch, ...).
            training: whether dropout is on.

        Returns:
            By name, each (batch,).

        Raises:
            TypeError: the method does not define it.
        """
        raise TypeError(f"{type(self).__name__} defines no `terms`; every method of adaptation does.")

    def call(self, batch: Mapping[str, keras.KerasTensor], training: bool = False) -> dict[str, keras.KerasTensor]:
        """The terms, each (batch,); in training the EMA is updated first."""
        if training:
            self._update_ema()
        return self.terms(batch, training)

    def compile(self, optimizer: keras.optimizers.Optimizer, *arguments: object, **further: object) -> None:
        """As `helpers.learn.augmented_model.AugmentedModel` does, where any of the networks computes in float16."""
        networks = [layer for layer in self.layers if isinstance(layer, keras.Model)]
        super().compile(with_loss_scaling(optimizer, *networks), *arguments, **further)
        self.optimizer.build(self.trainable_variables)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> keras.KerasTensor:
        """The weighted sum of the terms."""
        total = sum(weight * y_pred[name] for name, weight in self.term_weights.items())  # (batch,)
        return super().compute_loss(x, ops.zeros_like(total), total, None, training)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict:
        """The means of the reported terms."""
        for name, mean in self.means.items():
            mean.update_state(y_pred[name])
        return self.get_metrics_result()


@keras.saving.register_keras_serializable(package="biomedseg")
class LayerwiseAdam(keras.optimizers.Adam):
    """Adam with a learning rate for each part of a model: the common one, times the part's factor.

    Args:
        learning_rate: the common one.
        factors: by a piece of a variable's path, such as "discriminator"; 1 for variables that none names.
        options: of `keras.optimizers.Adam`.
    """

    def __init__(self, learning_rate: float = 1e-3, factors: Mapping[str, float] | None = None, **options: Any) -> None:
        super().__init__(learning_rate, **options)
        self.factors = dict(factors or {})

    def build(self, variables: list[keras.Variable]) -> None:
        """Look up the factor of each variable."""
        super().build(variables)
        self._variable_factors = tuple(
            next((factor for piece, factor in self.factors.items() if piece in variable.path), 1.0)
            for variable in variables
        )

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        """Adam's step at the variable's own learning rate."""
        factor = self._variable_factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)

    def get_config(self) -> dict:
        """The arguments, as Keras saves them."""
        return {**super().get_config(), "factors": self.factors}


class AdaptationSchedule(WarmupCosine):
    """The learning rate schedule of an `AdaptationModel`; it sets the model's `fraction_spent` as well."""

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Set the learning rate and the fraction of the budget that is spent."""
        super().on_train_batch_begin(batch, logs)
        self.model.fraction_spent.assign(min(1.0, self.budget.fraction_spent(self.done / self.steps)))


def segmentation_loss(
    network: keras.Model, batch: Mapping[str, keras.KerasTensor], loss: keras.losses.Loss, training: bool
) -> keras.KerasTensor:
    """The segmentation loss on the source's radiographs.

    Args:
        network: (batch, size, size, 1) to probabilities.
        batch: as `helpers.learn.batches.adaptation_batches` yields it, each array of shape (batch, ...).
        loss: gives one value a sample.
        training: whether dropout is on.

    Returns:
        (batch,).
    """
    images, soft_labels = augment(source_part(batch))
    return loss.call(soft_labels, with_background(network(images, training=training)))
