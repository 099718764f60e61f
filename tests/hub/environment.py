"""The environment that a client process needs to talk to the loopback hub, and to nothing else."""

from __future__ import annotations

import os
from pathlib import Path

# Whatever the developer's shell says about the hub or a proxy must not reach the client.
_FOREIGN = ("HF_", "HUGGING_FACE_", "HUGGINGFACE_", "TRANSFORMERS_")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def client_environment(hub_url: str, home: Path, token: str | None, *, xet: bool = False) -> dict[str, str]:
    """os.environ with its own HF_HOME under `home` and no other hub than `hub_url`; `token` None is anonymous."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN) and name.lower() not in _PROXIES
    }
    environment |= {
        "HF_ENDPOINT": hub_url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
    if not xet:
        environment["HF_HUB_DISABLE_XET"] = "1"
    if token is not None:
        environment["HF_TOKEN"] = token
    return environment
