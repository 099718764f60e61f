"""The entry of a Space (README.md): one version of a dataset for everybody, read-only.

VIDEOP2R_DATASET names it, org/name@v1.0.0; VIDEOP2R_COMPARE may name others, separated by spaces; VIDEOP2R_MEDIA_ROOT
a folder of the Space that holds the media; VIDEOP2R_ALLOWED_HOSTS names under which it is reached beside *.hf.space.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from app.opened import open_viewer
from curation.errors import UserError


def main() -> int:
    """Serve on all interfaces at the Space's port, 7860. 2: the settings of the Space are to be mended."""
    dataset = os.environ.get("VIDEOP2R_DATASET", "")
    if not dataset:
        print("error: VIDEOP2R_DATASET is not set. Name a dataset in the Space's settings: org/name@v1.0.0", flush=True)
        return 2
    try:
        media = os.environ.get("VIDEOP2R_MEDIA_ROOT")
        opened = open_viewer(
            dataset,
            compare=os.environ.get("VIDEOP2R_COMPARE", "").split(),
            media_root=Path(media) if media else None,
            read_only=True,
        )
        # Late: a wrong name is told at once, and Gradio takes seconds.
        from app.server import build_server, serve
        from app.viewer import build_blocks

        hosts = os.environ.get("VIDEOP2R_ALLOWED_HOSTS", "").split()
        app = build_server(opened, build_blocks(opened), host="0.0.0.0", allowed_hosts=hosts, in_space=True)
        port = int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
        serve(app, host="0.0.0.0", port=port, ready=lambda address: print(f"{opened.shown} at {address}", flush=True))
    except UserError as error:
        print(f"error: {error}", flush=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
