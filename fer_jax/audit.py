"""Says what is wrong with a data set, and lists the examples that are better left out.

python -m fer_jax.audit --data=fer2013
python -m fer_jax.audit --data=facial_expressions --fold=3
python -m fer_jax.audit --data=my_pictures --near=0.98 --out=audits/mine

--data is a set's name as in config.data.name, or a folder that holds a folder for each class. The report is printed and
written to <out>/audit.md, its figures to <out>/audit.json, and each list to <out>/exclude_<what>.json, for
--config.data.exclude=FILE.
"""

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from fer_jax import command
from fer_jax.errors import ConfigError, DataError, UserError, did_you_mean
from fer_jax.files import write_whole

if TYPE_CHECKING:
    from fer_jax.data import DataSet

# JAX and what stands on it are imported in the functions, so that a misspelt flag is told at once.

FLAGS = flags.FlagValues()
_DATA = flags.DEFINE_string("data", "", "The data set's name, or a folder of class folders.", flag_values=FLAGS)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "The folder that holds a folder for each data set; looks nowhere else.", flag_values=FLAGS
)
_FOLD = flags.DEFINE_integer("fold", 0, "As config.data.fold.", flag_values=FLAGS)
_SPLIT_BY = flags.DEFINE_string("split_by", "person", "As config.data.split_by.", flag_values=FLAGS)
_NEAR = flags.DEFINE_float(
    "near", 0.95, "Near twins have a cosine above this, in (0, 1]; 1 does not look for them.", flag_values=FLAGS
)
_OUT = flags.DEFINE_string(
    "out", "", "Where the report goes; default: audits/<name>[,key=value...].", flag_values=FLAGS
)


def main() -> None:
    """Does what the flags say, which have been parsed.

    Raises:
      UserError: what the user can mend.
    """
    if not _DATA.value:
        raise ConfigError("--data=NAME is missing, for example --data=fer2013")
    if not 0 < _NEAR.value <= 1:
        raise ConfigError(f"--near must be above 0 and at most 1, not {_NEAR.value}")
    audit(
        _DATA.value,
        data_dir=_DATA_DIR.value,
        fold=_FOLD.value,
        split_by=_SPLIT_BY.value,
        near=_NEAR.value,
        out=_OUT.value,
    )


def audit(
    name: str, *, data_dir: str = "", fold: int = 0, split_by: str = "person", near: float = 0.95, out: str = ""
) -> dict[str, Any]:
    """Examines a data set, prints the report and writes it.

    Args:
      name: of the data set, or of a folder of class folders.
      data_dir: as in training.
      fold: as in `data.load`.
      split_by: as in `data.load`.
      near: as in `faults.examine`.
      out: the folder for report and lists; '' is one in `audits` with the name of the data.

    Returns:
      What stands in audit.json.

    Raises:
      ConfigError: an unknown name, or an option that means nothing to the data set.
      DataError: the data set cannot be had, is damaged, or is empty.
      UserError: `out` cannot be written.
    """
    from fer_jax import audit_text
    from fer_jax.data import faults
    from fer_jax.writers import say

    dataset = _load(name, fold=fold, split_by=split_by, data_dir=data_dir)
    folder = Path(out or _default_out(name, fold, split_by))
    _make_folder(folder)
    say(f"Examining {dataset.name} ({dataset.source}) ...\n")
    findings = faults.examine(dataset, near)
    report = {
        "command": ["python", "-m", "fer_jax.audit", *sys.argv[1:]],
        "data": dataset.name,
        "source": dataset.source,
        "fingerprint": dataset.fingerprint,
        **findings.figures,
        "lists": {
            key: {"file": _file(key), **{split: len(rows) for split, rows in positions.items()}}
            for key, positions in findings.lists.items()
        },
    }
    text = audit_text.write(report, folder)
    _write(folder, report, text, findings.lists)
    say(text)
    return report


def _load(name: str, **options: Any) -> "DataSet":
    """The data set of this name, or the folder."""
    from fer_jax import data

    if name in data.LOADERS and name != "folder":
        dataset = data.load(name=name, **options)
    elif Path(os.path.expanduser(name)).is_dir():
        dataset = data.load(name="folder", path=name, **options)
    else:
        known = data.LOADERS.keys() - {"folder"}
        raise ConfigError(f"--data={name}: no such data set, and no such folder; {did_you_mean(name, known)}")
    if not any(len(split) for split in dataset.splits.values()):
        raise DataError(f"'{dataset.name}' has no examples ({dataset.source}): there is nothing to examine")
    return dataset


def _file(key: str) -> str:
    return f"exclude_{key}.json"


def _write(folder: Path, report: Mapping[str, Any], text: str, lists: Mapping[str, Mapping[str, list[int]]]) -> None:
    from fer_jax.data import faults
    from fer_jax.provenance import write_json

    for key in (*faults.LISTS, faults.RECOMMENDED):
        if key not in lists:
            # What an earlier audit listed here would still be believed.
            (folder / _file(key)).unlink(missing_ok=True)
    for key, positions in lists.items():
        reasons = [reason for reason in faults.REASONS if reason in lists] if key == faults.RECOMMENDED else [key]
        content = {
            "data": report["data"],
            "fingerprint": report["fingerprint"],
            "why": {reason: faults.LISTS[reason] for reason in reasons},
            "exclude": positions,
        }
        write_json(folder / _file(key), content)
    write_whole(folder / "audit.md", text)
    write_json(folder / "audit.json", report)


def _default_out(name: str, fold: int, split_by: str) -> str:
    words = [Path(os.path.expanduser(name)).resolve().name]
    words += [f"fold={fold}"] * (fold != 0) + [f"split_by={split_by}"] * (split_by != "person")
    return f"audits/{','.join(words)}"


def _make_folder(folder: Path) -> None:
    """Makes the folder, and checks that files can be written there before anything long is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"--out {folder} cannot be written: {error.strerror}") from error


if __name__ == "__main__":
    command.run(main, FLAGS)
