"""What an export has of a network that nobody has trained."""

import json

import jax
import numpy as np

from fer_jax import models
from fer_jax.export.content import Content


def untrained_content(name, dataset, **texts):
    """That of the network of a name; `texts` are laid over what the file would tell."""
    model = models.create(name=name)
    image = np.zeros((1, *model.image_shape), np.uint8)
    variables = jax.tree.map(np.asarray, model.init(jax.random.key(0), image))
    told = {
        "labels": [f"<b>{place}" for place in range(model.num_classes)],
        "config": {"model": {"name": name}},
        "data": {"name": dataset, "stand_in_for": None},
        **{key: {} for key in ("checkpoint", "trained_with", "exported_with")},
    }
    return Content(model, variables, {key: json.dumps(value) for key, value in told.items()} | texts)
