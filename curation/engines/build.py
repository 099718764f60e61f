"""From an engine's config to the engine; its SDK is imported only when it is chosen."""

from __future__ import annotations

from typing import Final

from curation.engines.base import Engine
from curation.engines.config import EngineConfig, OpenAIConfig
from curation.engines.scripted import ScriptedConfig, ScriptedEngine, ScriptedJudge, ScriptedJudgeConfig
from curation.errors import ConfigError

_INSTALL: Final = "pip install -e '.[curate]'"


def build_engine(config: EngineConfig) -> Engine:
    """Raises ConfigError when the engine's SDK is not installed, or its key is not in the environment."""
    match config:
        case ScriptedConfig():
            return ScriptedEngine(config)
        case ScriptedJudgeConfig():
            return ScriptedJudge(config)
    try:
        if isinstance(config, OpenAIConfig):
            from curation.engines.openai import OpenAIEngine

            return OpenAIEngine(config)
        from curation.engines.anthropic import AnthropicEngine

        return AnthropicEngine(config)
    except ModuleNotFoundError as error:
        raise ConfigError(f"engine {config.kind!r} needs the package {error.name!r}. Run {_INSTALL}.") from error
