"""The experiment for the record in miniature: does what an accelerator is to do, on a CPU within half an hour.

    python -m experiments.fer2013_record.miniature --out=runs/fer2013_record_miniature

The search, the final runs and the ablation as they are stated, each through the sweep tool, but with 4 channels in
place of 44, a tenth of the data, 1 to 3 epochs, and the first four recipes of the search and three of the ablation.
What it prints says that the machinery works, and nothing of FER2013. Stopped and started again it goes on.
"""

import argparse
from pathlib import Path

import ml_collections

from configs import fer2013_best
from experiments.fer2013_record.experiment import get_experiment as final
from experiments.fer2013_record_ablation.experiment import get_experiment as ablation
from experiments.fer2013_record_search.experiment import trials, tuned
from fer_jax import command
from fer_jax.sweep import Experiment
from fer_jax.sweep.halving import successive_halving
from fer_jax.sweep.sweep import sweep

STAGES = ("fer2013_record_search", "fer2013_record", "fer2013_record_ablation")
"""In the order in which they are run."""
TENTH = 2_871
"""Images of the training split, and at most as many of each other."""


def stage(name: str, folder: Path) -> Experiment:
    """The experiment of a stage in miniature; `folder` holds its results."""
    if name == "fer2013_record_search":
        small = shrunk(tuned(fer2013_best.get_config()))
        return successive_halving(small, trials()[:4], epochs=(1, 2, 3), seeds=2, results=folder)
    whole = final() if name == "fer2013_record" else ablation()
    return Experiment(base=shrunk(whole.base), variants=whole.variants[:3], seeds=2)


def shrunk(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """A config that trains within a minute on a CPU."""
    config.epochs = 2
    config.data.limit = TENTH
    config.model.channels = 4
    config.optim.warmup_epochs = 0.5
    return config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/fer2013_record_miniature"), help="the folder for it")
    parser.add_argument("--data_dir", default="", help="as in training")
    arguments = parser.parse_args()
    command.prepare_jax()
    for name in STAGES:
        folder = arguments.out / name
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "experiment.py"
        file.write_text(
            f'"""{name} in miniature."""\n\nfrom pathlib import Path\n\n'
            "from experiments.fer2013_record.miniature import stage\n\n\n"
            f'def get_experiment():\n    return stage("{name}", Path(__file__).parent)\n'
        )
        sweep(str(file), workdir=str(folder / "runs"), data_dir=arguments.data_dir)


if __name__ == "__main__":
    main()
