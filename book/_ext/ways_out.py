"""Buttons that need to know where the project lives: open an issue, see the source, launch a notebook.

`repository-code` in CITATION.cff is that address. Where it is not set there are no such buttons, rather than dead ones.
"""

from pathlib import Path

import yaml

_CITATION = Path("../CITATION.cff")


def _buttons(app, config) -> None:
    cited = yaml.safe_load((Path(app.srcdir) / _CITATION).read_text(encoding="utf-8"))
    if address := cited.get("repository-code"):
        config.html_theme_options |= {
            "repository_url": address,
            "repository_branch": "main",
            # A page notebooks/NAME is made from that file of the project; those below book/ are built and not in it.
            "path_to_docs": "",
            "use_issues_button": True,
            "use_repository_button": True,
            "launch_buttons": {"binderhub_url": "https://mybinder.org", "notebook_interface": "jupyterlab"},
        }


def setup(app):
    # Early, since the theme reads its options when the builder starts.
    app.connect("config-inited", _buttons, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
