"""An OpenAI-compatible server on loopback that serves a Qwen2.5-VL for real, as vLLM would: greedy, one at a time.

    with serve_model(save_tiny_qwen(folder), VideoConfig(num_frames=6)) as server:
        OpenAIConfig(base_url=server.openai_url, model="tiny", send="frames", image_mime="image/png")

How it makes a prompt of a request is its own: the chat template over the message's parts, each placeholder repeated in
the text, the whole tokenised at once, pictures through the released image processor. So what it answers checks what the
engine in process makes of the same request. Files it samples itself, with the `video` it was given.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import torch
from aiohttp import web
from PIL import Image
from transformers import GenerationConfig
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from curation.errors import MediaError
from curation.video import Frames, VideoConfig, read_frames
from tests.loopback import LoopbackServer
from training.config import ModelConfig
from training.models import load_model, load_processor
from training.patches import patchify

IMAGE, VIDEO = 1, 2


def serve_model(folder: Path, video: VideoConfig, **options: Any) -> LoopbackServer:
    """Not started yet; a context manager. options: of LoopbackServer, such as faults."""
    return LoopbackServer(reply=ServedModel(folder, video), **options)


class ServedModel:
    """(body of a chat request) -> text. 400 for media that cannot be read."""

    def __init__(self, folder: Path, video: VideoConfig) -> None:
        config = ModelConfig(name=str(folder), dtype="float32")
        self._model = load_model(config).eval()
        self._model.generation_config = GenerationConfig()
        self._processor = load_processor(config)
        self._pictures = Qwen2VLImageProcessorPil.from_pretrained(folder)
        self._video = video

    def __call__(self, body: Mapping[str, Any]) -> str:
        assert body["top_p"] <= 1
        content = body["messages"][-1]["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        try:
            inputs = self._inputs(parts)
        except MediaError as error:
            raise web.HTTPBadRequest(text=f"cannot read the media: {error}") from error
        settings = GenerationConfig(
            do_sample=False,
            max_new_tokens=body["max_tokens"],
            suppress_tokens=list(self._processor.pad_ids.values()),
            eos_token_id=self._processor.tokenizer.eos_token_id,
            pad_token_id=self._processor.tokenizer.pad_token_id,
        )
        with torch.inference_mode():
            sequence = self._model.generate(**inputs, generation_config=settings)[0, inputs["input_ids"].shape[1] :]
        return self._processor.tokenizer.decode(sequence, skip_special_tokens=True)

    def _inputs(self, parts: list[Mapping[str, Any]]) -> dict[str, Any]:
        turn, images, videos = [], [], []
        for part in parts:
            if part["type"] == "text":
                turn.append(dict(part))
            elif part["type"] == "image_url":
                images.append(self._read_image(part["image_url"]["url"]))
                turn.append({"type": "image"})
            else:
                videos.append(self._sample(part["video_url"]["url"]))
                turn.append({"type": "video"})
        inputs: dict[str, Any] = {}
        if images:
            seen = self._pictures(images=images, return_tensors="pt")
            inputs |= {"pixel_values": seen["pixel_values"], "image_grid_thw": seen["image_grid_thw"]}
        if videos:
            patches, grids = zip(*(patchify(video.frames, self._processor.layout) for video in videos), strict=True)
            inputs |= {
                "pixel_values_videos": torch.cat([torch.from_numpy(one) for one in patches]),
                "video_grid_thw": torch.tensor(grids),
                "second_per_grid_ts": [self._processor.layout.temporal_patch_size / v.sampled_fps for v in videos],
            }
        text = self._processor.tokenizer.apply_chat_template(
            [{"role": "user", "content": turn}],
            chat_template=self._processor.chat_template,
            tokenize=False,
            add_generation_prompt=True,
        )
        for kind in ("image", "video"):
            for t, h, w in inputs.get(f"{kind}_grid_thw", torch.zeros(0, 3)).tolist():
                text = text.replace(f"<|{kind}_pad|>", "<|placeholder|>" * (t * h * w // 4), 1)
            text = text.replace("<|placeholder|>", f"<|{kind}_pad|>")
        ids = torch.tensor([self._processor.tokenizer.encode(text, add_special_tokens=False)])
        pads = self._processor.pad_ids
        types = IMAGE * (ids == pads["image"]) + VIDEO * (ids == pads["video"])
        return inputs | {"input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": types}

    def _read_image(self, url: str) -> Image.Image:
        if url.startswith("file://"):
            return Image.fromarray(self._sample(url).frames[0])
        header, _, encoded = url.partition(",")
        assert header.startswith("data:image/") and header.endswith(";base64"), header[:40]
        return Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")

    def _sample(self, url: str) -> Frames:
        assert url.startswith("file://"), url[:40]
        return read_frames(Path(unquote(urlsplit(url).path)), self._video)
