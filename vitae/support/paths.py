"""Where files are: the only module that names folders."""

import os
from pathlib import Path

from vitae.support.errors import InputError

# The folder that contains the package: the clone, or site-packages.
_CLONE = Path(__file__).resolve().parents[2]


def _expanded(path: str | Path) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(f"there is no home folder for {path}: give the full path.") from None


def home() -> Path:
    """Where runs, records and figures go: `$VITAE_HOME`, else the clone that holds vitae, else the current folder."""
    if path := os.environ.get("VITAE_HOME"):
        return _expanded(path)
    return _CLONE if (_CLONE / "notebooks").is_dir() else Path.cwd()


def runs(profile: str, dataset: str) -> Path:
    """Checkpoints, weights and logs; not committed."""
    return home() / "runs" / profile / dataset


def records() -> Path:
    """One JSON file per finished run, `PROFILE/DATASET/RUN.json`; those of profile full are committed."""
    return home() / "book" / "records"


def committed_records() -> Path:
    """The records that are committed in the clone, whatever `$VITAE_HOME` is."""
    return _CLONE / "book" / "records"


def weights() -> Path:
    """The pretrained weights that ship with the package."""
    return Path(__file__).resolve().parents[1] / "experiments" / "weights"


def tuning_record() -> Path:
    """Results of tuning trials that are not ordinary runs, shown on the page about tuning."""
    return committed_records() / "tuning.json"


def figures(profile: str) -> Path:
    """Figures, named after the notebooks that draw them, with their provenance; those of profile full are committed."""
    return home() / "figures" / profile


def committed_figures() -> Path:
    """The figures of profile full that are committed in the clone, whatever `$VITAE_HOME` is."""
    return _CLONE / "figures" / "full"


def data_root(root: str | Path | None = None) -> Path | None:
    """The user's own data folder, from the argument or `$VITAE_DATA`; None if neither is given.

    Raises:
        InputError: the argument is not a path.
    """
    path = root or os.environ.get("VITAE_DATA")
    if not isinstance(path, str | Path | None):
        raise InputError(f"the data root must be the path of a folder, got {path!r}.")
    return _expanded(path) if path else None


def _cache() -> Path:
    if path := os.environ.get("XDG_CACHE_HOME"):
        return Path(path) / "vitae"
    try:
        return Path.home() / ".cache" / "vitae"
    except RuntimeError:
        raise InputError("there is no home folder for the cache: name a folder with $XDG_CACHE_HOME.") from None


def downloads() -> Path:
    """Datasets that vitae downloaded."""
    return _cache() / "data"


def generated() -> Path:
    """The cache of rendered and resized images; may be deleted at any time."""
    return _cache() / "generated"
