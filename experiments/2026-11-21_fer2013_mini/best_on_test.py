"""The number that peers report: the best of all epochs on the test split, which is then no estimate of anything.

    python best_on_test.py RUN

RUN is a finished run that kept a checkpoint of each epoch (config.checkpoint.keep = 60). Every one is evaluated on the
test split, and run.json counts each reading. Written to best_on_test.jsonl in RUN: a line an epoch.
"""

import contextlib
import json
import sys
from pathlib import Path

from fer_jax import provenance
from fer_jax.checkpoint import Checkpoints
from fer_jax.evaluate import evaluate
from fer_jax.final_scores import prepare_split
from fer_jax.open_run import open_run
from fer_jax.record import count_test_read
from fer_jax.resume import template


def main(folder: Path) -> None:
    opened = open_run(str(folder), split="test", checkpoint="last")
    run, record = opened.run, opened.record
    if not record["finished"]:
        raise SystemExit(f"{folder} is not finished: the honest reading comes first")
    test, empty = prepare_split(run, "test"), template(run)
    lines = []
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        for step in checkpoints.steps():
            if step % run.steps_per_epoch:
                continue
            scores = evaluate(run.programs, checkpoints.restore(step, empty).arrays["state"], test)
            count_test_read(record, "test")
            provenance.write_json(folder / provenance.FILE, record)
            lines.append({"epoch": step // run.steps_per_epoch, "accuracy": scores.accuracy, **scores.subsets})
            print(lines[-1], flush=True)
    (folder / "best_on_test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    best = max(lines, key=lambda line: line["accuracy"])
    print(f"{len(lines)} epochs; the best on the test split is epoch {best['epoch']}: {best['accuracy']:.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
