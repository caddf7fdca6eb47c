"""How the documentation is built: Markdown through MyST, the Furo theme, warnings are errors (`make docs`)."""

from __future__ import annotations

project = "Weighthouse"
author = "The Weighthouse developers"
project_copyright = author
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist", "fieldlist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "Weighthouse"
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
