"""A training step that sees two hospitals at once: radiographs with masks from one, radiographs alone from the other.

What a method makes small is a sum of terms, each with one value a radiograph. All of it is one compiled Keras step, so
that it runs on TensorFlow and on JAX, on one device and on several.
"""

from collections.abc import Callable, Mapping

import keras
from keras import ops

from helpers.learn.augmented_model import augment, with_background
from helpers.learn.batches import xla_compiled
from helpers.learn.budget import WarmupCosine
from helpers.learn.precision import with_loss_scaling
from helpers.prepare.augment import AugmentationParams, apply

EMA_DECAY = 0.99
"""Share of a running mean that stays, a step: it looks back over about a hundred."""

_TARGET = "target_"


def target_part(batch: Mapping[str, keras.KerasTensor]) -> dict[str, keras.KerasTensor]:
    """The target's part of an adaptation batch, by the names that the source's part has."""
    return {name.removeprefix(_TARGET): array for name, array in batch.items() if name.startswith(_TARGET)}


def source_part(batch: Mapping[str, keras.KerasTensor]) -> dict[str, keras.KerasTensor]:
    """The source's part of an adaptation batch: what `helpers.learn.augmented_model.augment` takes."""
    return {name: array for name, array in batch.items() if not name.startswith(_TARGET) and name != "domain"}


def augmentation_params(radiographs: Mapping[str, keras.KerasTensor]) -> AugmentationParams:
    """The numbers by which radiographs are varied."""
    return AugmentationParams(
        **{name: array for name, array in radiographs.items() if name not in ("images", "soft_labels", "domain")}
    )


@xla_compiled
def augment_unlabelled(radiographs: Mapping[str, keras.KerasTensor]) -> keras.KerasTensor:
    """Radiographs without masks, varied: (batch, size, size, 1) float32."""
    return apply(ops.cast(radiographs["images"], "float32"), None, augmentation_params(radiographs))[0]


def ema_copy(network: keras.Model, momentum: float) -> tuple[keras.Model, Callable[[], None]]:
    """A copy of a network, and what moves it a step towards the network, so that it is the mean of what that has been.

    A function, since whatever a training step has for an attribute learns with it.
    """
    mean = keras.models.clone_model(network)
    mean.set_weights(network.get_weights())
    mean.trainable = False
    pairs = [*zip(mean.weights, network.weights, strict=True)]

    def update_ema() -> None:
        for average, new in pairs:
            moved = momentum * ops.convert_to_tensor(average) + (1 - momentum) * ops.convert_to_tensor(new)
            average.assign(ops.stop_gradient(moved))

    return mean, update_ema


class AdaptationModel(keras.Model):
    """What all methods share; a method is a subclass with `terms`.

    Args:
        network: the one that adapts.
        weights: by name, how much each term counts; terms without a weight are only reported.
        momentum: share of the running mean that stays, a step.

    Attributes:
        ema_network: the network to keep: the running mean of the one that adapts, over its steps (Polyak and Juditsky
            1992). Two players circle round the point where both would rest; their mean is nearer to it than either
            (Yazici et al. 2019, arXiv 1806.04498).
        fraction_spent: the share of the budget that is used up, from 0 to 1; `AdaptationSchedule` keeps it.
    """

    def __init__(self, network: keras.Model, weights: Mapping[str, float], momentum: float = EMA_DECAY) -> None:
        # Half precision begins in the networks: a mean of weights would be rounded away.
        super().__init__(name="adapting", dtype="float32", autocast=False)
        self.ema_network, self._update_ema = ema_copy(network, momentum)
        self.term_weights = dict(weights)
        self.fraction_spent = self.add_weight(
            name="fraction_spent", shape=(), initializer="zeros", trainable=False, dtype="float32"
        )
        self.means = {name: keras.metrics.Mean(name) for name in self.reported()}

    def reported(self) -> tuple[str, ...]:
        """The names of all that `terms` gives."""
        return tuple(self.term_weights)

    def terms(self, batch: Mapping[str, keras.KerasTensor], training: bool) -> dict[str, keras.KerasTensor]:
        """One value a radiograph of each term, (batch,), by name."""
        raise TypeError(f"{type(self).__name__} says nothing of its terms; a method of adaptation defines `terms`.")

    def call(self, batch: Mapping[str, keras.KerasTensor], training: bool = False) -> dict[str, keras.KerasTensor]:
        if training:
            self._update_ema()
        return self.terms(batch, training)

    def compile(self, optimizer: keras.optimizers.Optimizer, *arguments: object, **further: object) -> None:
        networks = [layer for layer in self.layers if isinstance(layer, keras.Model)]
        super().compile(with_loss_scaling(optimizer, *networks), *arguments, **further)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True) -> keras.KerasTensor:
        total = sum(weight * y_pred[name] for name, weight in self.term_weights.items())  # (batch,)
        return super().compute_loss(x, ops.zeros_like(total), total, None, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None) -> dict:
        for name, mean in self.means.items():
            mean.update_state(y_pred[name])
        return self.get_metrics_result()


@keras.saving.register_keras_serializable(package="biomedseg")
class LayerwiseAdam(keras.optimizers.Adam):
    """Adam with a pace for each part of a model: its learning rate, times the part's factor.

    Args:
        factors: by a piece of a variable's path, such as "discriminator"; 1 for variables that none names.
    """

    def __init__(self, learning_rate: float = 1e-3, factors: Mapping[str, float] | None = None, **options) -> None:
        super().__init__(learning_rate, **options)
        self.factors = dict(factors or {})

    def build(self, variables: list[keras.Variable]) -> None:
        super().build(variables)
        self._paces = tuple(
            next((factor for piece, factor in self.factors.items() if piece in variable.path), 1.0)
            for variable in variables
        )

    def update_step(self, gradient, variable, learning_rate) -> None:
        super().update_step(gradient, variable, learning_rate * self._paces[self._get_variable_index(variable)])

    def get_config(self) -> dict:
        return {**super().get_config(), "factors": self.factors}


class AdaptationSchedule(WarmupCosine):
    """The schedule of an `AdaptationModel`, which is told before each step how much of the budget is used up."""

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        super().on_train_batch_begin(batch, logs)
        self.model.fraction_spent.assign(min(1.0, self.budget.fraction_spent(self.done / self.steps)))


def segmentation_loss(
    network: keras.Model, batch: Mapping[str, keras.KerasTensor], loss: keras.losses.Loss, training: bool
):
    """The loss of the source's radiographs against their masks, (batch,)."""
    images, soft_labels = augment(source_part(batch))
    return loss.call(soft_labels, with_background(network(images, training=training)))
