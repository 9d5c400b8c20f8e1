"""Trained weights in a new network, and parts of it that stay as they are."""

from collections.abc import Mapping, Sequence

import lightning
from torch import Tensor, nn

from pipeline.core.errors import IncompatibleModel, ParameterError


def load(network: nn.Module, weights: Mapping[str, Tensor], adapted: Mapping[str, Tensor], name: str) -> None:
    """Puts `weights` into `network`, but for `adapted`, what the task has fitted to the new data.

    name: of the model, for the message. IncompatibleModel: the rest has other names or shapes.
    """
    own = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    there = {key: tuple(value.shape) for key, value in weights.items()}
    differing = [key for key in sorted(own.keys() | there.keys()) if own.get(key) != there.get(key)]
    wrong = [key for key in differing if key not in adapted]
    if wrong:
        some = "; ".join(f"{key} {there.get(key, 'none')}, here {own.get(key, 'none')}" for key in wrong[:3])
        raise IncompatibleModel(
            f"{name} has a network of another shape: {some}{' …' if len(wrong) > 3 else ''}. Give "
            "train.network, and what its input depends on, the values that its model.json shows, or set "
            "train.start to null."
        )
    network.load_state_dict({**weights, **adapted})


def freeze(network: nn.Module, parts: Sequence[str]) -> None:
    """The weights whose names are, or lie below, one of `parts` learn nothing (`stem`, `stages.0`)."""
    for part in parts:
        chosen = [p for name, p in network.named_parameters() if name == part or name.startswith(f"{part}.")]
        if not chosen:
            named = sorted({name.partition(".")[0] for name, _ in network.named_parameters()})
            raise ParameterError(
                f"params.yaml: train.start.freeze: {part!r} is no part of the network. It has "
                f"{', '.join(named)}, and what lies below them (model.json names the network's file)."
            )
        for parameter in chosen:
            parameter.requires_grad_(False)
    if parts and not any(p.requires_grad for p in network.parameters()):
        raise ParameterError("params.yaml: train.start.freeze: names every weight; none is left to train.")


class KeepFrozen(lightning.Callback):
    """Layers without a weight that learns also keep their running statistics."""

    def on_train_start(self, _: lightning.Trainer, module: lightning.LightningModule) -> None:
        for layer in module.modules():
            own = list(layer.parameters(recurse=False))
            if own and not any(parameter.requires_grad for parameter in own):
                layer.eval()
