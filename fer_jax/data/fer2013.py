"""FER2013: 35,887 gray faces of 48x48 pixels under seven expressions, in any of the forms that people have it in.

Each form has its own reader, and all of them give the same bytes: `fer2013_csv` (Kaggle's CSV, plain or packed),
`fer2013_compact` (three .npz files), `fer2013_folder` (pictures by class). FER+ votes are joined where they lie beside.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from fer_jax.data import fer2013_compact, fer2013_csv, fer2013_folder, fer_plus, places
from fer_jax.data.dataset import DataSet
from fer_jax.data.fer2013_facts import CONTENTS, add_contents, content, count_fault
from fer_jax.data.packed import ARCHIVES, PACKINGS
from fer_jax.errors import warn

# The `DataSet.fingerprint` of the published rows, with and without FER+ votes.
CANONICAL_WITH_VOTES = "7226c5b227c9afbee145ae5faa82a660eec5e2b1d3c44ceeec3061ce979ee2e6"
CANONICAL = "adebace473337c61a213d42bd036687904f76c2bb532347417eb5120e154d5fd"

_COMPETITION = "challenges-in-representation-learning-facial-expression-recognition-challenge"
_EXPECTED = (
    "fer2013.csv or icml_face_data.csv (plain, .xz, .gz, .zip, or in fer2013.tar.gz), "
    f"{', '.join(fer2013_compact.FILES.values())}, or train/<emotion>/ and test/<emotion>/ with pictures"
)
_ADVICE = (
    f"get fer2013.tar.gz or icml_face_data.csv from kaggle.com/c/{_COMPETITION}/data, put it into a folder fer2013/, "
    "and name the folder that holds it by --data_dir or FER_JAX_DATA"
)


def load(data_dir: str = "") -> DataSet:
    """Loads FER2013.

    Args:
      data_dir: a folder that holds `fer2013/`, with the files in one of their forms or a prepared copy; no other
        place is searched. '' searches them all.

    Returns:
      'train' (Training), 'validation' (PublicTest) and 'test' (PrivateTest), images [N, 48, 48, 1], in the order of
      fer2013.csv, with 'row' in the extras, and with 'votes' where `fer2013new.csv` lies in the same folder. Folders of
      pictures may lack the rows, or a validation split (`fer2013_folder`). Other rows of the same form are taken too;
      `source` says whether the data are the canonical FER2013.

    Raises:
      UnavailableError: if no place has it.
      DataError: if `data_dir` does not have it, or the first place that does has it damaged.
    """
    recipe = places.Recipe(
        name="fer2013",
        title="FER2013",
        splits=("train", "test"),
        expected=_EXPECTED,
        advice=_ADVICE,
        find=_find,
        describe=_describe,
        canonical=(CANONICAL_WITH_VOTES, CANONICAL),
    )
    data = places.load(recipe, data_dir)
    if "validation" not in data.splits:
        warn(
            "the names of FER2013's pictures do not tell PublicTest from PrivateTest: there is no official validation "
            "split, and a score on this test split cannot be compared with one on PrivateTest"
        )
    return data


def _find(folder: Path) -> places.Source | None:
    """The first form that is whole, else the first of which something is there."""
    partial_source = None
    for form in (_csv_source, _compact_source, _folder_source):
        source = form(folder)
        if source and not source.missing:
            return source
        partial_source = partial_source or source
    return partial_source


def _csv_source(folder: Path) -> places.Source | None:
    names = [member + packing for member in fer2013_csv.MEMBERS for packing in PACKINGS]
    names += [stem + ending for stem in ("fer2013", "icml_face_data", _COMPETITION) for ending in ARCHIVES]
    for name in names:
        if (path := folder / name).is_file():
            return _with_votes(folder, name, (path,), partial(fer2013_csv.read, path))
    return None


def _compact_source(folder: Path) -> places.Source | None:
    files = {split: folder / name for split, name in fer2013_compact.FILES.items()}
    missing = [path.name for path in files.values() if not path.is_file()]
    if len(missing) == len(files):
        return None
    read = partial(fer2013_compact.read, files)
    return _with_votes(folder, "fer2013_*.npz", tuple(files.values()), read, missing=", ".join(missing))


def _folder_source(folder: Path) -> places.Source | None:
    paths, missing = fer2013_folder.find(folder)
    if not paths and not missing:
        return None
    detail = "\n".join(path.relative_to(folder).as_posix() for path in paths)
    read = partial(fer2013_folder.read, folder, paths)
    return _with_votes(folder, "pictures by class", paths, read, missing, detail)


def _with_votes(
    folder: Path,
    what: str,
    files: tuple[Path, ...],
    read: Callable[[], DataSet],
    missing: str = "",
    detail: str = "",
) -> places.Source:
    """The source with FER+ joined, where it lies in the same folder."""
    votes = folder / fer_plus.FILE
    if not votes.is_file():
        return places.Source(f"{what} in {folder}", files, read, missing, detail)

    def joined() -> DataSet:
        data = read()
        return fer_plus.with_votes(data, votes) if _has_rows(data) else data

    return places.Source(f"{what} and {votes.name} in {folder}", (*files, votes), joined, missing, detail)


def _has_rows(data: DataSet) -> bool:
    return all("row" in split.extras for split in data.splits.values())


def _describe(data: DataSet) -> str:
    if data.fingerprint in (CANONICAL, CANONICAL_WITH_VOTES):
        return "the canonical FER2013"
    contents = {name: content(split) for name, split in data.splits.items()}
    together = add_contents(CONTENTS["validation"], CONTENTS["test"])
    if contents == CONTENTS:
        words = "the images and labels of the canonical FER2013"
    elif contents == {"train": CONTENTS["train"], "test": together}:
        words = "the images and labels of the canonical FER2013, PublicTest and PrivateTest together as test"
    else:
        fault = count_fault(data)
        words = f"not the canonical FER2013 ({fault or 'its class counts are right, its pixels are not'})"
    if not _has_rows(data):
        words += ", its rows and so its FER+ votes unknown"
    return words
