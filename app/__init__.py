"""App: the viewer of traces."""

import app.gradio_start  # noqa: F401 - whoever imports Gradio imports this before
