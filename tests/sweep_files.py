"""Experiments for tests: their files, and a stand-in for training that takes no time."""

import json
from pathlib import Path

from fer_jax.data import load
from fer_jax.errors import DivergedError
from fer_jax.members import make_members

HEAD = """'''Is more Dropout better?'''
from fer_jax.build import default_config
from fer_jax.sweep import Experiment, Variant


def get_experiment():
    config = default_config(model="tiny", data_name="digits")
    config.epochs = 2
    config.batch_size = 16
    config.data.limit = 100
    config.optim.learning_rate = 0.01
    return """
TWO = 'Experiment(base=config, variants=[Variant("plain"), Variant("more", {"model.dropout": 0.3})], seeds=2)\n'


def write_experiment(folder: Path, text: str = HEAD + TWO) -> Path:
    """An experiment file in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "experiment.py").write_text(text)
    return folder / "experiment.py"


def accuracy(seed: int, values) -> float:
    """What `FakeTraining` makes of a member: seeds differ by 1 %, and a rate of 0.3 is worth 10 or 12 % more."""
    dropout = values["model.dropout"]
    return 0.5 + seed / 100 + (0.1 + 0.02 * (seed % 2) if dropout == 0.3 else (dropout - 0.1) / 10)


def full(accuracy: float, worse: int):
    """The full scores of a state; each is less than the one before by 1 %, and by `worse` % more."""
    names = ("accuracy", "macro_f1", "balanced_accuracy", "top2", "calibration_error")
    return {"examples": 360} | {name: accuracy - (place + worse) / 100 for place, name in enumerate(names)}


class FakeTraining:
    """Takes the place of `train`: notes each config, and makes up a record of the form that a run has.

    Attributes:
      configs: of the runs so far.
      views: in which the test split is scored in full.
      after: called before a run ends.
      seeds_that_diverge: a run with one of these fails, if its rate is `rate_that_diverges`.
    """

    def __init__(self):
        self.configs = []
        self.seeds_that_diverge, self.rate_that_diverges = set(), None
        self.after = lambda: None
        self.views = ["plain"]

    def __call__(self, config, *, workdir, data_dir, epoch_ended):
        self.configs.append(config)
        members = make_members(config.seed, config.num_seeds, config.vary or {})
        stated = {"model.dropout": config.model.dropout}
        each = [(member.seed, {**stated, **member.values}) for member in members.each]
        for seed, values in each:
            if seed in self.seeds_that_diverge and values["model.dropout"] == self.rate_that_diverges:
                raise DivergedError(f"the loss of seed {seed} is not a finite number")
        found = [accuracy(seed, values) for seed, values in each]
        print("a line that belongs in the log")
        scored = {"tune": ("val",), "clean": ("val", "test")}.get(config.protocol, ("test",))
        short, split = scored[0], "test" if "test" in scored else "validation"
        lines = []
        for epoch in range(1, config.epochs + 1):
            both = {"train_loss": 1 / epoch, f"{short}_accuracy": members.pack(found)}
            lines.append(json.dumps({"epoch": epoch, "step": epoch, "seconds": 1.0, **both}) + "\n")
            epoch_ended(epoch)
        (Path(workdir) / "metrics.jsonl").write_text("".join(lines))
        states = [
            {"epoch": config.epochs, "step": 2}
            | {f"{each}_loss": 1 - one for each in scored}
            | {f"{each}_accuracy": one for each in scored}
            for one in found
        ]
        scores = [
            {split: {view: {"official": full(one, place)} for place, view in enumerate(self.views)}} for one in found
        ]
        self.after()
        return {
            **({"members": [{"seed": one.seed, **one.values} for one in members.each]} if members.many else {}),
            "data": {"fingerprint": load(name="digits", image_shape=(28, 28, 1)).fingerprint},
            **{"protocol": config.protocol, "select_by": "accuracy", "test_reads": 3},
            "selected_by": None if config.protocol == "full" else "validation" if short == "val" else "test",
            **{"params": {"total": 5890}, "seconds_compiling": 1.0, "seconds_training": 8.0, "command": ["python"]},
            **{"machine": {"devices": 1, "processor": "P"}, "versions": {}, "git": {}, "rate_reduced_after": None},
            **{"last": members.pack(states), "best": members.pack(states)},
            "scores": {"last": members.pack(scores), "best": members.pack(scores)},
        } | ({"rate_reduced_after": [[] for _ in each]} if members.many else {})
