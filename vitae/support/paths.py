"""The only module that knows directories."""

import os
from pathlib import Path

from vitae.support.errors import InputError

# The folder that holds the package: the clone, or site-packages.
_CLONE = Path(__file__).resolve().parents[2]


def _expanded(named: str | Path) -> Path:
    try:
        return Path(named).expanduser()
    except RuntimeError:
        raise InputError(f"there is no home folder for {named}: name the folder in full.") from None


def home() -> Path:
    """Where runs, records and figures go: `$VITAE_HOME`, else the clone that vitae is imported from, else here."""
    if named := os.environ.get("VITAE_HOME"):
        return _expanded(named)
    clone = _CLONE
    return clone if (clone / "notebooks").is_dir() else Path.cwd()


def runs(profile: str, dataset: str) -> Path:
    """Checkpoints and weights; never committed."""
    return home() / "runs" / profile / dataset


def records() -> Path:
    """One JSON file a finished run, `PROFILE/DATASET/RUN.json`; those of profile full are committed."""
    return home() / "book" / "records"


def committed_records() -> Path:
    """Those that come with the clone, wherever runs go."""
    return _CLONE / "book" / "records"


def weights() -> Path:
    """Weights that come with the package."""
    return Path(__file__).resolve().parents[1] / "experiments" / "weights"


def tuning_record() -> Path:
    """Trials on bodies that are no runs."""
    return committed_records() / "tuning.json"


def figures(profile: str) -> Path:
    """Figures named by their maker, each with its provenance beside it; those of profile full are committed."""
    return home() / "figures" / profile


def committed_figures() -> Path:
    """Those of profile full that come with the clone, wherever figures go."""
    return _CLONE / "figures" / "full"


def data_root(root: str | Path | None = None) -> Path | None:
    """The user's own data folder, from the argument or `$VITAE_DATA`; None where neither names one."""
    named = root or os.environ.get("VITAE_DATA")
    if not isinstance(named, str | Path | None):
        raise InputError(f"a data root is a folder's path, got {named!r}.")
    return _expanded(named) if named else None


def _cache() -> Path:
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named) / "vitae"
    try:
        return Path.home() / ".cache" / "vitae"
    except RuntimeError:
        raise InputError("there is no home folder here: name one for the cache with $XDG_CACHE_HOME.") from None


def downloads() -> Path:
    """Where data goes that vitae downloads itself."""
    return _cache() / "data"


def generated() -> Path:
    """Where images are kept that vitae rendered, or resized from files; may be deleted at any time."""
    return _cache() / "generated"
