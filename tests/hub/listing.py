"""A commit's tree as the hub lists it: files, folders, and which commit touched each last."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from tests.hub.history import POINTER, Commit, Entry


def folders_of(tree: Mapping[str, Entry]) -> set[str]:
    """Every folder that holds a file, however deep. The root is not among them."""
    folders = set()
    for path in tree:
        parts = path.split("/")[:-1]
        folders |= {"/".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
    return folders


def list_folder(tree: Mapping[str, Entry], folder: str, *, recursive: bool) -> list[str]:
    """Paths of files and folders below `folder` ("" is the root), in order."""
    prefix = f"{folder}/" if folder else ""
    below = [path for path in {*tree, *folders_of(tree)} if path.startswith(prefix)]
    return sorted(path for path in below if recursive or "/" not in path[len(prefix) :])


def describe_path(tree: Mapping[str, Entry], path: str) -> dict[str, Any]:
    """One file or folder of the tree."""
    entry = tree.get(path)
    if entry is None:
        inside = [f"{name} {below.oid}" for name, below in sorted(tree.items()) if name.startswith(f"{path}/")]
        return {
            "type": "directory",
            "oid": hashlib.sha1("\n".join(inside).encode()).hexdigest(),
            "size": 0,
            "path": path,
        }
    described: dict[str, Any] = {"type": "file", "oid": entry.git_sha1, "size": entry.size, "path": path}
    if entry.lfs:
        described["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": pointer_size(entry)}
    return described


def describe_sibling(path: str, entry: Entry, *, blobs: bool) -> dict[str, Any]:
    sibling: dict[str, Any] = {"rfilename": path}
    if blobs:
        sibling |= {"size": entry.size, "blobId": entry.git_sha1}
        if entry.lfs:
            sibling["lfs"] = {"sha256": entry.sha256, "size": entry.size, "pointerSize": pointer_size(entry)}
    return sibling


def pointer_size(entry: Entry) -> int:
    return len(POINTER.format(entry.sha256, entry.size))


def describe_commit(oid: str, commit: Commit) -> dict[str, Any]:
    return {
        "id": oid,
        "title": commit.title,
        "message": commit.message,
        "authors": [{"user": commit.author}],
        "date": commit.date,
    }


def last_commit(history: list[tuple[str, Commit]], path: str) -> dict[str, str]:
    """The newest commit after which `path` differs from before. history: the newest first."""
    newest = history[0]
    for older in history[1:]:
        if _below(newest[1].tree, path) != _below(older[1].tree, path):
            break
        newest = older
    return {"id": newest[0], "title": newest[1].title, "date": newest[1].date}


def _below(tree: Mapping[str, Entry], path: str) -> dict[str, str]:
    return {name: entry.oid for name, entry in tree.items() if name == path or name.startswith(f"{path}/")}
