"""Which engine a run asks, and how hard: the config models.

No secret stands in a config: `api_key_env` NAMES the environment variable that holds the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator, model_validator

from curation.config import SECRET, Config
from curation.engines.scripted import ScriptedConfig, ScriptedJudgeConfig


class VisualTokens(Config):
    """How many tokens a model makes of what it sees: one of pixels x pixels, and of `frames` frames of a video.

    The defaults are those of Qwen2-VL and Qwen2.5-VL, which also write one token before each medium and one behind it.
    """

    pixels: PositiveInt = 28
    """Each side of the square that is one token."""
    frames: PositiveInt = 2
    """Of a video, in one token."""


class OpenAIConfig(Config):
    """Any server that speaks the OpenAI chat API: vLLM, SGLang, transformers serve.

    send: video_frames needs vLLM 0.32 or later (older ones take every clip of a Qwen2.5-VL for 24 frames a second),
    told to show the frames as they come:
        vllm serve MODEL --media-io-kwargs '{"video": {"video_backend": "opencv", "num_frames": -1}}'
    """

    kind: Literal["openai"] = "openai"
    """Any OpenAI-compatible server."""
    base_url: str
    """Its address; ends in /v1."""
    model: str = Field(min_length=1)
    """The name it serves the model under."""
    api_key_env: str | None = None
    """The environment variable that holds the key; null = none."""
    send: Literal["frames", "video_frames", "file_url", "data_url", "none"] = "frames"
    """How media travel: frames = our sampled frames as images; video_frames = as one small video file at their rate;
    file_url = a file:// URL that the server opens; data_url = the whole file; none = text only. An image always
    travels as an image."""
    image_mime: Literal["image/jpeg", "image/png"] = "image/jpeg"
    """Of the frames; image/png reaches the server bit by bit."""
    timeout_s: PositiveFloat = 600.0
    """Of one request, in seconds."""
    visual_tokens: VisualTokens | Literal["auto"] | None = "auto"
    """What a server that is sent frames must count in usage.prompt_tokens; one that drops or resizes them stops the
    run. auto = of a Qwen2-VL or Qwen2.5-VL, known by its name or tokenizer; others are not checked. null = never."""
    server_settings: Annotated[str, Field(min_length=1)] | None = None
    """In your words, how a server that is sent files samples and resizes them: other words, other results."""
    extra_body: Mapping[str, Any] = Field(default_factory=dict)
    """Further fields of the request body, as they are (seed, chat_template_kwargs, ...)."""

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, base_url: str) -> str:
        return _http_url(base_url)

    @field_validator("extra_body")
    @classmethod
    def _holds_no_secret(cls, extra_body: Mapping[str, Any]) -> Mapping[str, Any]:
        if secret := _secret_key(extra_body):
            raise ValueError(f"{secret} must not stand in a config, which is published. Name a variable in api_key_env")
        return extra_body

    @model_validator(mode="after")
    def _only_files_are_sampled_by_a_server(self) -> Self:
        if self.server_settings is not None and self.send not in ("file_url", "data_url"):
            raise ValueError(f"send: {self.send} leaves nothing to the server; server_settings is for whole files")
        return self


class BatchConfig(Config):
    """Message Batches, at half price. The API takes 100,000 requests or 256 MB; a smaller batch is a smaller loss."""

    max_requests: int = Field(default=10_000, ge=1, le=100_000)
    """Requests a batch; a smaller batch is a smaller loss."""
    max_bytes: PositiveInt = 200_000_000
    """Bytes a batch."""
    poll_s: PositiveFloat = 60.0
    """Seconds between looks at a batch."""
    resend_lost: bool = False
    """Ask, and pay for, the questions of a batch again whose results can no longer be had."""


class AnthropicConfig(Config):
    """The Anthropic Messages API, live or (with `batches`) in Message Batches. Text only; it has no temperature."""

    kind: Literal["anthropic"] = "anthropic"
    """The Anthropic Messages API."""
    model: str = Field(default="claude-haiku-5-5", min_length=1)
    """The model's name."""
    base_url: str = "https://api.anthropic.com"
    """Its address."""
    api_key_env: str = "ANTHROPIC_API_KEY"
    """The environment variable that holds the key."""
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    """How long it thinks; null = its default."""
    timeout_s: PositiveFloat = 600.0
    """Of one request, in seconds."""
    batches: BatchConfig | None = None
    """Ask in Message Batches, at half the price; null = live."""

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, base_url: str) -> str:
        return _http_url(base_url)


class DispatchConfig(Config):
    """How hard a run presses its server."""

    max_in_flight: PositiveInt = 64
    """Requests at a time, at most."""
    max_tries: PositiveInt = 5
    """Per question, counting answered faults and time-outs; a server that cannot be reached costs no try."""
    retry_after_cap_s: NonNegativeFloat = 60.0
    """The longest wait that a server's Retry-After is granted."""
    backoff_s: PositiveFloat = 0.5
    """The first wait of ours; it doubles."""
    backoff_cap_s: PositiveFloat = 30.0
    """The longest wait of ours."""
    server_wait_s: NonNegativeFloat = 900.0
    """How long an unreachable server is waited for (a restart), before the run stops."""
    first_contact_s: NonNegativeFloat = 10.0
    """The same for a server that was never reached: it is not there, or its address is wrong."""
    stop_after_failures: PositiveInt = 20
    """Failed questions in a row, with no answer between, that stop the run; refused ones (400) count only until the
    first answer."""
    stop_after_unusable: PositiveInt | None = 50
    """Answers from the start, none of them usable, that stop the run; null = never."""


EngineConfig = Annotated[
    OpenAIConfig | AnthropicConfig | ScriptedConfig | ScriptedJudgeConfig, Field(discriminator="kind")
]


def model_name(config: EngineConfig) -> str:
    """The model that the config asks for, or the kind of a scripted engine."""
    return config.model if isinstance(config, OpenAIConfig | AnthropicConfig) else config.kind


def identity(config: EngineConfig, *, shows_video: bool = True) -> dict[str, Any]:
    """What a completion depends on: another address, key, time-out or price channel gives the same answers.

    shows_video: whether a video is shown; a picture travels in one way whatever becomes of videos.
    """
    fields = config.model_dump(
        mode="json", exclude={"base_url", "api_key_env", "timeout_s", "batches", "visual_tokens"}
    )
    if fields.get("server_settings") is None:
        fields.pop("server_settings", None)
    if (
        shows_video and fields.get("send") == "video_frames"
    ):  # it was a list of pictures, of which a server made one frame a second
        fields["video"] = "file"
    return fields


def _secret_key(value: object) -> str | None:
    """The first key, at any depth, that says it holds a secret."""
    if isinstance(value, Mapping):
        return next((str(key) for key in value if SECRET.search(str(key))), None) or _secret_key(list(value.values()))
    if isinstance(value, list | tuple):
        return next((found for inner in value if (found := _secret_key(inner))), None)
    return None


def _http_url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://, for example http://127.0.0.1:8000/v1")
    if "@" in url.split("//", 1)[1].split("/", 1)[0]:
        raise ValueError("must hold no user or password: a config is published. Name a variable in api_key_env")
    return url.rstrip("/")
