"""mnist_15k in PyTorch from the files of MNIST: `python torch_script.py JOB MNIST [--images=N] [--channels_last]`.

One epoch and the accuracy on the test images, for the memory and the start of a whole process. It says when the first
step is done.
"""

import os
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from job import LEARNING_RATE, Job
from programs.torch_program import as_input, network


def read(path: Path) -> torch.Tensor:
    """An IDX file of bytes."""
    content = np.fromfile(path, np.uint8)
    shape = content[4 : 4 + 4 * content[3]].view(">u4").astype(int)
    return torch.from_numpy(content[4 + 4 * content[3] :].reshape(shape))


def main(job: Job, folder: Path, limit: int, channels_last: bool) -> None:
    """Trains and evaluates."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    splits = {}
    for name in ("train", "t10k"):
        images, labels = read(folder / f"{name}-images-idx3-ubyte"), read(folder / f"{name}-labels-idx1-ubyte")
        splits[name] = images[:limit, ..., None], labels[:limit].long()
    model = network(job).to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    images, labels = splits["train"]
    total, first = torch.zeros(()), True
    for rows in torch.randperm(len(labels)).split(job.batch):
        loss = F.cross_entropy(model(as_input(images[rows], channels_last)), labels[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(rows)
        if first:
            print(f"step 1, loss {loss.item():.4f}", flush=True)
            first = False
    images, labels = splits["t10k"]
    model.eval()
    with torch.inference_mode():
        batches = zip(images.split(job.evaluation_batch), labels.split(job.evaluation_batch), strict=True)
        right = sum(int((model(as_input(x, channels_last)).argmax(1) == y).sum()) for x, y in batches)
    print(f"loss {total.item() / len(splits['train'][1]):.4f}, accuracy {right / len(labels):.4f}")


if __name__ == "__main__":
    words = sys.argv[3:]
    count = next((int(word.partition("=")[2]) for word in words if word.startswith("--images=")), 60_000)
    main(Job.read(Path(sys.argv[1])), Path(sys.argv[2]), count, "--channels_last" in words)
