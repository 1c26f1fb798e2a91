"""What a sweep writes into the folder of its experiment: table.md, the tables in README.md, plots."""

from pathlib import Path

from fer_jax.errors import UserError, warn
from fer_jax.files import write_whole
from fer_jax.sweep.grid import Grid
from fer_jax.sweep.results import Kept
from fer_jax.sweep.table import markdown
from fer_jax.sweep.tables import make_tables

TABLE_FILE = "table.md"
README = "README.md"
BEGIN, END = "<!-- sweep:begin -->", "<!-- sweep:end -->"


def write_folder(grid: Grid, kept: Kept) -> list[Path]:
    """Writes tables and plots; where Matplotlib is missing, says so and leaves the plots out.

    Returns:
      The files.

    Raises:
      UserError: a file cannot be read or written.
    """
    text = "\n".join(markdown(table) for table in make_tables(grid, kept).values())
    files: dict[str, str | bytes] = {TABLE_FILE: text}
    plots = _plots(grid, kept)
    files.update(plots)
    readme = _readme(grid, text, plots)
    if readme is not None:
        files[README] = readme
    for name, content in files.items():
        write_whole(grid.folder / name, content)
    return [grid.folder / name for name in files]


def _plots(grid: Grid, kept: Kept) -> dict[str, bytes]:
    try:
        from fer_jax.sweep.plots import make_plots
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        warn(
            "plots need matplotlib, which is not installed: pip install 'fer_jax[report]', and the same command draws "
            "them"
        )
        return {}
    return make_plots(grid, kept)


def _readme(grid: Grid, tables: str, plots: dict[str, bytes]) -> str | None:
    """The folder's README.md with the new tables between the marks; None to leave it as it is."""
    path = grid.folder / README
    block = f"{BEGIN}\n\n{tables}\n{END}"
    try:
        old = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        pictures = "\n".join(f"![{name.removesuffix('.png')}]({name})" for name in plots if name.endswith(".png"))
        question = grid.question or grid.name
        command = (
            f"    python -m fer_jax.sweep --experiment={grid.file}\n"
            f"    python -m fer_jax.reproduce --list    # what 'python -m fer_jax.reproduce ID' runs again"
        )
        return "\n\n".join([f"# {grid.name}", question, command, block, *([pictures] if pictures else [])]) + "\n"
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    before, begins, rest = old.partition(BEGIN)
    _, ends, after = rest.partition(END)
    if not begins or not ends:
        warn(f"{path} has no place for the tables ({BEGIN} ... {END}): they are in {grid.folder / TABLE_FILE} only")
        return None
    return before + block + after
