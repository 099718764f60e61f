"""A loopback Hugging Face hub, real enough for the real clients: huggingface_hub, datasets and HfFileSystem.

    with LoopbackHub(tmp_path / "hub") as hub:
        environment = client_environment(hub.url, tmp_path / "home", "hf_writer")
        subprocess.run([sys.executable, "publish.py"], env=environment, check=True)
        hub.tags("org/name"), hub.tree("org/name", "v1.0.0"), hub.uploaded, [call.endpoint for call in hub.requests]

or as a process of its own, which prints its URL: `python -m tests.hub --root DIR --port 0`.

With `client_environment(..., xet=True)` large files go through the client's own hf_xet. It locks its store, so then
only one client process may run at a time.

The client reads its environment when it is imported, and falls back on its cache when a hub refuses it: run it in a
subprocess, and give each test that expects a refusal a home of its own.
"""

from tests.hub.environment import client_environment
from tests.hub.faults import HubFault
from tests.hub.server import LoopbackHub
from tests.hub.serving import HubRequest
from tests.hub.users import DEFAULT_USERS, User

__all__ = ["DEFAULT_USERS", "HubFault", "HubRequest", "LoopbackHub", "User", "client_environment"]
