"""From an engine's config to the engine; its SDK is imported only when it is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from curation.engines.base import Engine
from curation.engines.config import EngineConfig, OpenAIConfig
from curation.engines.scripted import ScriptedConfig, ScriptedEngine, ScriptedJudge, ScriptedJudgeConfig
from curation.errors import ConfigError

if TYPE_CHECKING:
    from curation.engines.anthropic import AnthropicEngine
    from curation.engines.openai import OpenAIEngine

_INSTALL: Final = "pip install -e '.[curate]'"


def build_engine(config: EngineConfig, *, lazily: bool = False) -> Engine:
    """Raises ConfigError when the engine's SDK is not installed, or its key is not in the environment.

    lazily: the key is looked for when a first request goes out; where none does, none is needed.
    """
    match config:
        case ScriptedConfig():
            return ScriptedEngine(config)
        case ScriptedJudgeConfig():
            return ScriptedJudge(config)
    try:
        if isinstance(config, OpenAIConfig):
            from curation.engines.openai import OpenAIEngine

            engine: OpenAIEngine | AnthropicEngine = OpenAIEngine(config)
        else:
            from curation.engines.anthropic import AnthropicEngine

            engine = AnthropicEngine(config)
    except ModuleNotFoundError as error:
        raise ConfigError(f"engine {config.kind!r} needs the package {error.name!r}. Run {_INSTALL}.") from error
    if not lazily:
        engine.open()
    return engine
