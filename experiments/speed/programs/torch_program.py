"""The comparison's network in PyTorch: uint8 images in memory as a tensor, a step a batch, Adam."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import profiles
from job import FIRST_STEP_EPSILON, LEARNING_RATE, Job, cross_entropy
from programs import Losses


class Scale(nn.Module):
    """uint8 pixels -> 0..1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.float() / 255


class Standardise(nn.Module):
    """Each image less its mean, over its standard deviation plus 0.03."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        variance, mean = torch.var_mean(x, dim=(1, 2, 3), keepdim=True, correction=0)
        return (x - mean) / (variance.sqrt() + 0.03)


class Average(nn.Module):
    """The mean over all pixels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3))


class Torch:
    """See `programs`.

    Args:
      job: what to train.
      cores: threads.
      channels_last: of the model and the images.
      compiled: by `torch.compile`.
    """

    def __init__(self, job: Job, cores: int, channels_last: bool = False, compiled: bool = False):
        torch.set_num_threads(cores)
        if torch.get_num_interop_threads() != 1:
            torch.set_num_interop_threads(1)
        torch.manual_seed(0)
        self._job = job
        self._channels_last = channels_last
        model = network(job)
        load(model, job)
        model.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
        self._model = torch.compile(model, dynamic=False) if compiled else model
        # Of PyTorch's three, the fused Adam is the fastest on a CPU too.
        self._optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, eps=FIRST_STEP_EPSILON, fused=True)
        images, labels = job.data
        self._images = torch.from_numpy(images)
        self._labels = torch.from_numpy(labels).long()
        self._order = torch.empty(0, dtype=torch.long)
        self._loss = torch.zeros(())
        self._correct = torch.zeros((), dtype=torch.long)

    def _as_input(self, images: torch.Tensor) -> torch.Tensor:
        return as_input(images, self._channels_last)

    def train(self, steps: int) -> None:
        self._model.train()
        for _ in range(steps):
            if not len(self._order):
                self._order = torch.randperm(len(self._labels))
            rows, self._order = self._order[: self._job.batch], self._order[self._job.batch :]
            self._step(self._as_input(self._images[rows]), self._labels[rows])

    def _step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits = self._model(images)
        loss = F.cross_entropy(logits, labels)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        self._loss += loss.detach()
        self._correct += (logits.detach().argmax(dim=1) == labels).sum()
        return loss

    @torch.inference_mode()
    def evaluate(self, batches: int) -> None:
        self._model.eval()
        size = self._job.evaluation_batch
        places = len(self._labels) // size
        starts = [place % places * size for place in range(batches)]
        torch.cat([self._model(self._as_input(self._images[start : start + size])) for start in starts])

    @torch.inference_mode()
    def predict(self, image: np.ndarray) -> np.ndarray:
        self._model.eval()
        return self._model(self._as_input(torch.from_numpy(image[None])))[0].numpy()

    def profile(self, kind: str, batches: int) -> dict[str, float]:
        return profiles.of_torch(lambda: getattr(self, kind)(batches))

    def losses(self) -> Losses:
        images, labels = self._job.first_batch
        with torch.inference_mode():
            logits = self._model.eval()(self._as_input(torch.from_numpy(images)))
        self._model.train()
        batch = self._as_input(torch.from_numpy(images)), torch.from_numpy(labels).long()
        training, second = (self._step(*batch).item() for _ in range(2))
        return Losses(training, cross_entropy(logits.numpy(), labels), second)


def as_input(images: torch.Tensor, channels_last: bool) -> torch.Tensor:
    """Images [B, H, W, C] as [B, C, H, W], in memory as the layout says.

    With one channel the two layouts are the same bytes, and `contiguous` and `to` leave the strides alone; but it is by
    the strides that PyTorch's convolutions tell which layout they are to keep.
    """
    if channels_last:
        return images.permute(0, 3, 1, 2)
    batch, height, width, features = images.shape
    if features == 1:
        return images.view(batch, 1, height, width)
    return images.permute(0, 3, 1, 2).contiguous()


def network(job: Job) -> nn.Sequential:
    """The job's layers as PyTorch's own."""
    height, width, features = job.image_shape
    flat = 0
    layers: list[nn.Module] = []
    for layer in job.layers:
        match layer["kind"]:
            case "scale":
                layers.append(Scale())
            case "standardise":
                layers.append(Standardise())
            case "space_to_depth":
                # PyTorch's order of the new channels is ours for images of one channel.
                layers.append(nn.PixelUnshuffle(2))
                height, width, features = height // 2, width // 2, 4 * features
            case "conv":
                kernel, padding = layer["kernel"], layer["kernel"] // 2 if layer["same"] else 0
                layers.append(nn.Conv2d(features, layer["features"], kernel, padding=padding, bias=layer["bias"]))
                features = layer["features"]
                height, width = height + 2 * padding - kernel + 1, width + 2 * padding - kernel + 1
            case "relu":
                layers.append(nn.ReLU(inplace=True))
            case "norm":
                layers.append(nn.BatchNorm2d(features, eps=1e-3, momentum=0.01))
            case "dropout":
                layers.append(nn.Dropout(layer["rate"]))
            case "pool":
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
            case "average":
                layers.append(Average())
                flat = features
            case "flatten":
                layers.append(nn.Flatten())
                flat = height * width * features
            case "dense":
                layers.append(nn.Linear(flat, layer["features"]))
                flat = layer["features"]
    return nn.Sequential(*layers)


@torch.no_grad()
def load(model: nn.Sequential, job: Job) -> None:
    """Copies the job's weights, which are in Keras's shapes, into the model."""
    weights = iter(torch.from_numpy(weight) for weight in job.weights)
    pixels = None  # In front of the first dense layer: its rows are in the order [height, width, channel].
    features = 0
    for module in model:
        if isinstance(module, nn.Conv2d):
            module.weight.copy_(next(weights).permute(3, 2, 0, 1))
            if module.bias is not None:
                module.bias.copy_(next(weights))
            features = module.out_channels
        elif isinstance(module, nn.BatchNorm2d):
            for target in (module.weight, module.bias, module.running_mean, module.running_var):
                target.copy_(next(weights))
        elif isinstance(module, nn.Flatten):
            pixels = True
        elif isinstance(module, nn.Linear):
            kernel = next(weights)
            if pixels:
                kernel = kernel.reshape(-1, features, kernel.shape[1]).transpose(0, 1).reshape(kernel.shape)
                pixels = None
            module.weight.copy_(kernel.T)
            module.bias.copy_(next(weights))
    assert next(weights, None) is None, "weights are left over"
