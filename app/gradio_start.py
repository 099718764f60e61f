"""Gradio is imported without what only its developers need. The package imports this first.

At every start it would parse its own sources to keep a type stub beside each, which takes a second and writes into the
installed packages; and it would ask its maker for a newer version, and count who starts it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Final

_STUB_WRITER: Final = "gradio.component_meta"


class _WithoutStubs(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        module.__dict__["create_or_modify_pyi"] = lambda *_: None


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname == _STUB_WRITER else None
        if spec is not None and spec.origin is not None:
            spec.loader = _WithoutStubs(fullname, spec.origin)
        return spec


os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
sys.meta_path.insert(0, _Finder())
