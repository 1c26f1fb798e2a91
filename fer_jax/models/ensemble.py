"""Several networks that answer as one."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fer_jax.models.network import Network


class Ensemble(Network):
    """Networks of one kind, whose answer is the mean of their probabilities: logits that are its logarithms.

    The variables of each are under `member_0`, `member_1` and so on.

    Attributes:
      network: what each of them is.
      members: how many, at least one.
      layout: as in `FaceNetwork`.
    """

    network: Network
    members: int
    layout: str = "auto"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.network.image_shape

    @property
    def num_classes(self) -> int:
        return self.network.num_classes

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False, mask: jax.Array | None = None) -> jax.Array:
        logits = [
            self.network.clone(parent=self, name=f"member_{place}", layout=self.layout)(images, train=train, mask=mask)
            for place in range(self.members)
        ]
        # The mean inside the logarithm, so that no probability that is 0 in float32 becomes infinite.
        each = jnp.stack([jax.nn.log_softmax(one.astype(jnp.float32)) for one in logits])
        return jax.nn.logsumexp(each, axis=0) - jnp.log(jnp.float32(self.members))


def ensemble_variables(each: list[dict]) -> dict:
    """The variables of an `Ensemble` from those of its members."""
    return {
        collection: {f"member_{place}": own[collection] for place, own in enumerate(each)} for collection in each[0]
    }
