"""A trained model on the hub: the whole folder in one commit, with its card."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import huggingface_hub as hf
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from curation.errors import ConfigError, HubError

_REPO: Final = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def push_model(folder: Path, repo: str, *, private: bool = True) -> str:
    """Upload to the model repository org/name, which is made when it is not there; returns the commit.

    One commit, so that what people see is the old model or the new one. Equal files are not sent again. Raises
    ConfigError and HubError with one line.
    """
    if not _REPO.fullmatch(repo):
        raise ConfigError(f"{repo!r} is no repository name. It reads org/name.")
    if not folder.is_dir():
        raise ConfigError(f"there is no model {folder}. Train it first.")
    if hf.get_token() is None:
        raise ConfigError(f"no token to write {repo} with. Set HF_TOKEN, or run `hf auth login`.")
    api = hf.HfApi()
    try:
        api.create_repo(repo, repo_type="model", private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo, folder_path=folder, repo_type="model", commit_message=f"{folder.parent.name} model with card"
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise HubError(
            f"cannot upload {folder} to {repo}: {reason} Run the same command again.", reason="failing"
        ) from error
    return str(commit.oid)
