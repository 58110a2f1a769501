"""Buttons that need the repository's address: open an issue, see the source, launch a notebook.

The address is `repository-code` in CITATION.cff. Without it the book has no such buttons.
"""

from pathlib import Path
from urllib.parse import urlsplit

import yaml

_CITATION = Path("../CITATION.cff")


def _buttons(app, config) -> None:
    citation = yaml.safe_load((Path(app.srcdir) / _CITATION).read_text(encoding="utf-8"))
    if address := citation.get("repository-code"):
        config.html_theme_options |= {
            "repository_url": address,
            "repository_branch": "main",
            # Links go to notebooks/NAME in the repository: the executed notebooks below book/ are not in it.
            "path_to_docs": "",
            "use_issues_button": True,
            "use_repository_button": True,
            "launch_buttons": {"binderhub_url": "https://mybinder.org", "notebook_interface": "jupyterlab"},
        }
        # Colab opens notebooks from there only, and the theme warns about others.
        if urlsplit(address).hostname == "github.com":
            config.html_theme_options["launch_buttons"]["colab_url"] = "https://colab.research.google.com"


def setup(app):
    # Early: the theme reads its options when the builder starts.
    app.connect("config-inited", _buttons, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
