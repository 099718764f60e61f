"""Which endpoint a raw path means. Split before decoding: a revision may hold a slash, as `refs%2Fheads%2Fmain`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from tests.hub.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Route:
    """`endpoint` is a short stable name; `rest` what the path names inside the repository, decoded."""

    endpoint: str
    kind: str = ""  # dataset or model
    repo: str = ""
    rest: tuple[str, ...] = ()


def find_route(raw_path: str) -> Route:
    """Raises Refusal 404 for a path that this hub does not serve."""
    match [unquote(part) for part in raw_path.strip("/").split("/")]:
        case ["api", "whoami-v2"]:
            return Route("whoami")
        case ["api", "validate-yaml"]:
            return Route("validate-yaml")
        case ["api", "repos", ("create" | "delete") as endpoint]:
            return Route(endpoint)
        case ["api", ("datasets" | "models") as kinds, namespace, name, *rest]:
            named, inside = _in_repo(rest)
            return Route(named, kinds[:-1], f"{namespace}/{name}", inside)
        case ["lfs", ("lfs-put" | "lfs-verify") as endpoint, ("dataset" | "model") as kind, namespace, name, oid]:
            return Route(endpoint, kind, f"{namespace}/{name}", (oid,))
        case ["datasets", namespace, name, *rest] if rest:
            return _of_files("dataset", namespace, name, rest)
        case [namespace, name, *rest] if rest and namespace != "api":
            return _of_files("model", namespace, name, rest)
    raise Refusal(404, f"this hub does not serve {raw_path}")


def _in_repo(rest: list[str]) -> tuple[str, tuple[str, ...]]:
    match rest:
        case []:
            return "info", ("main",)
        case ["revision", revision]:
            return "info", (revision,)
        case [("preupload" | "commit" | "tag" | "branch" | "paths-info" | "commits") as endpoint, name]:
            return endpoint, (name,)
        case ["tree", revision, *folder]:
            return "tree", (revision, "/".join(folder))
        case [("refs" | "settings") as endpoint]:
            return endpoint, ()
        case ["auth-check", *write] if write in ([], ["write"]):
            return "auth-check", tuple(write)
        case [("xet-write-token" | "xet-read-token") as token, _]:
            return "xet-token", (token.split("-")[1],)
    raise Refusal(404, f"this hub serves no {'/'.join(rest)} of a repository")


def _of_files(kind: str, namespace: str, name: str, rest: list[str]) -> Route:
    match rest:
        case ["info", "lfs", "objects", "batch"] if name.endswith(".git"):
            return Route("lfs-batch", kind, f"{namespace}/{name.removesuffix('.git')}")
        case ["resolve", revision, *path] if path:
            return Route("resolve", kind, f"{namespace}/{name}", (revision, "/".join(path)))
    raise Refusal(404, f"this hub serves no {'/'.join(rest)} of a repository")
