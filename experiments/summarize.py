"""From finished runs to an experiment's results.jsonl and table.md, and for runs of one network its curve.png.

    python experiments/summarize.py experiments/2026-11-21_eight_networks runs/*

A row of results.jsonl is a run, with every epoch's numbers and, where the test split was scored in more than one way
(without twins, as FER+ labels it, with test-time augmentation) or macro-F1 selected, all its scores. The figure needs
matplotlib (the extra 'report').
"""

import json
import sys
from pathlib import Path

from fer_jax.score_table import NAMES, has_parts
from fer_jax.scores import t_interval

# The log of seed document 001, section 3: one run.
SEED_LOSS = (
    *(0.2010, 0.0618, 0.0507, 0.0416, 0.0377, 0.0339, 0.0305, 0.0288, 0.0280, 0.0258),
    *(0.0247, 0.0223, 0.0210, 0.0208, 0.0200, 0.0193, 0.0182, 0.0170, 0.0177, 0.0175),
)
SEED_ACCURACY = (
    *(98.02, 98.23, 98.87, 99.08, 98.83, 99.31, 99.12, 99.16, 99.36, 99.36),
    *(99.30, 99.42, 99.28, 99.45, 99.41, 99.34, 99.36, 99.28, 99.34, 99.19),
)


def read(workdir):
    """A finished run as one row."""
    record = json.loads((workdir / "run.json").read_text())
    if record["stand_in"] or not record["finished"]:
        raise SystemExit(f"{workdir}: only finished runs on the real data are counted")
    if "members" in record:
        raise SystemExit(f"{workdir}: a row is a run of one network, and this one has several")
    config = json.loads((workdir / "config.json").read_text())
    epochs = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    kept = (
        "protocol",
        "selected_by",
        "params",
        "last",
        "best",
        "test_reads",
        "seconds_compiling",
        "seconds_training",
        "machine",
        "versions",
        "git",
    )
    row = {
        "config": config["model"]["name"],
        "seed": config["seed"],
        # 0 where a set is not made of folds.
        "fold": config.get("data", {}).get("fold", 0),
        "epochs": config["epochs"],
        "data": record["data"]["fingerprint"],
        **{key: record[key] for key in kept},
        "curve": {name: [epoch[name] for epoch in epochs] for name in epochs[0] if name not in ("epoch", "step")},
    }
    # A run that was made before there were full scores has none.
    scores = {which: splits["test"] for which, splits in record.get("scores", {}).items()}
    tells_more = scores and (has_parts(scores["best"]) or record.get("select_by") == "macro_f1")
    return {**row, "scores": scores} if tells_more else row


def interval(values):
    """'mean ± half-width' of the 95 % interval of the mean (Student's t), in per cent."""
    mean, half = t_interval(values)
    return f"{100 * mean:.2f} ± {100 * half:.2f}"


def table(rows):
    """The Markdown table of test accuracies, with a mean for each network that has several runs."""
    lines = [
        f"| network | parameters | {differs(rows)} | epochs | last epoch | selected epoch | training seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        last, best = row["last"], row["best"]
        lines.append(
            f"| `{row['config']}` | {row['params']['total']:,} | {row[differs(rows)]} | {row['epochs']} "
            f"| {100 * last['test_accuracy']:.2f} | {100 * best['test_accuracy']:.2f} "
            f"(epoch {best['epoch']}, by {row['selected_by']}) "
            f"| {row['seconds_training']:.0f} |"
        )
    for name in dict.fromkeys(row["config"] for row in rows):
        runs = [row for row in rows if row["config"] == name]
        if len(runs) > 1:
            means = [interval([row[which]["test_accuracy"] for row in runs]) for which in ("last", "best")]
            lines.append(f"| `{name}`, mean of {len(runs)}, 95 % interval | | | | {means[0]} | {means[1]} | |")
    return "\n".join(lines) + "\n" + "".join(parts_table(name, runs) for name, runs in by_network(rows).items())


def differs(rows):
    """What tells runs of one network apart: 'fold' or 'seed'."""
    return "fold" if len({row.get("fold", 0) for row in rows}) > 1 else "seed"


SHARES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "top2": "top-2",
    "calibration_error": "calibration error",
}


def by_network(rows):
    """The runs of each network that were scored in more than one way."""
    found = {}
    for row in rows:
        if "scores" in row:
            found.setdefault(row["config"], []).append(row)
    return found


def parts_table(name, runs):
    """The Markdown table of a network's test scores: a line for each state, view and subset that all its runs have."""
    several = len(runs) > 1
    label = (
        f"mean ± 95 % interval over {len(runs)} {differs(runs)}s (Student's t)"
        if several
        else "one run; [ ]: Wilson 95 % on the images"
    )
    lines = [
        f"\n`{name}`, test split in per cent, {label}:\n",
        f"| state | view | images | n | {' | '.join(SHARES.values())} |",
        "|" + "---|" * (4 + len(SHARES)),
    ]
    for which, words in (("best", "selected"), ("last", "last")):
        for view, subsets in runs[0]["scores"][which].items():
            for subset in subsets:
                found = [run["scores"][which].get(view, {}).get(subset) for run in runs]
                if None in found:
                    continue
                if several:
                    cells = [interval([scores[key] for scores in found]) for key in SHARES]
                else:
                    cells = [f"{100 * found[0][key]:.2f}" for key in SHARES]
                    low, high = found[0]["accuracy_interval"]
                    cells[0] += f" [{100 * low:.2f}, {100 * high:.2f}]"
                lines.append(f"| {words} | {view} | {NAMES[subset]} | {found[0]['examples']:,} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def figure(rows, path):
    """Training loss and test accuracy of every run of mnist_15k beside the document's."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    epochs = range(1, len(SEED_LOSS) + 1)
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    for row in rows:
        label = f"fer_jax, seed {row['seed']}"
        left.plot(epochs, row["curve"]["train_loss"], linewidth=1, label=label)
        right.plot(epochs, [100 * value for value in row["curve"]["test_accuracy"]], linewidth=1, label=label)
    left.plot(epochs, SEED_LOSS, "k--", label="seed document 001")
    right.plot(epochs, SEED_ACCURACY, "k--", label="seed document 001")
    left.set(xlabel="epoch", ylabel="training loss (nats)", yscale="log", xticks=range(0, 21, 5))
    right.set(xlabel="epoch", ylabel="test accuracy (%)", ylim=(97.5, 99.6), xticks=range(0, 21, 5))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    plt.savefig(path, dpi=110)


def main(folder, workdirs):
    """Writes the files of an experiment's folder."""
    rows = [read(Path(workdir)) for workdir in workdirs]
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "table.md").write_text(table(rows))
    if all((row["config"], row["protocol"], row["epochs"]) == ("mnist_15k", "seed", 20) for row in rows):
        figure(rows, folder / "curve.png")
    print(table(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
