"""The documentation's settings; ``python docs/build.py`` builds it."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))

from backlit import __version__  # noqa: E402

project = "backlit"
author = "The backlit developers"
project_copyright = author
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx_copybutton",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "mathml",
    "from_the_source",
]
exclude_patterns = ["_build", "_extensions", "**.ipynb_checkpoints", "images/*.md"]
nitpick_ignore_regex = [(".*", ".*")]
suppress_warnings = ["ref.python"]  # several caches have a field W

# Markdown
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence", "attrs_inline"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

# the notebook: run at every build, an exception is a failure
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 180
nb_execution_show_tb = True
nb_merge_streams = True

# the reference
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc says it with shapes
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
default_role = "code"  # numpydoc's single backticks

# what is copied: commands without their prompts; outputs are not to be pasted
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_selector = "div.highlight-sh pre, div.highlight-python pre, div.highlight-ipython3 pre"

# what a reader sees: nothing comes from another host
html_theme = "furo"
html_title = f"backlit {release}"
html_favicon = "../src/backlit/app/static/icon.svg"
html_static_path = ["_static"]
html_css_files = ["backlit.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#9a4a00",
        "color-brand-content": "#9a4a00",
        "color-brand-visited": "#7a3a00",
    },
    "dark_css_variables": {
        "color-brand-primary": "#ffb454",
        "color-brand-content": "#ffb454",
        "color-brand-visited": "#e0983c",
    },
}
pygments_style = "a11y-high-contrast-light"  # 4.5 to 1 and more
pygments_dark_style = "a11y-high-contrast-dark"


def _foreign(app, what, name, obj, skip, options):
    """Leave out what estimators inherit from scikit-learn; its own pages describe that."""
    return skip or not (getattr(obj, "__module__", None) or "backlit").startswith("backlit")


def _offer_the_file(app, docname, source):
    """Put a link to the notebook as a file, with its outputs, under the page's title."""
    if docname == "backward_pass":
        head, title, rest = source[0].partition("# The backward pass, in three steps\n")
        link = "{nb-download}`backward_pass.ipynb`: this page as a notebook, to open in Jupyter."
        source[0] = f"{head}{title}\n{link}\n{rest}"


def setup(app):
    """Register what is left out of the reference, and what is added to the notebook's page."""
    app.connect("source-read", _offer_the_file)
    app.connect("autodoc-skip-member", _foreign)
