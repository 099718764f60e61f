"""M-RoPE positions by the rule that Qwen2.5-VL was trained with: text goes on after the last moment of a video.

transformers since 5.3 goes on after its height and width only, so that in a clip of more than a few seconds the text
shares its positions with the frames (16 frames of 20 s end at 35, the text began at 15). The released weights, vLLM
and transformers before 5.3 know the rule below, and so it must hold wherever log-probabilities are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLModel

IMAGE, VIDEO = 1, 2  # in mm_token_type_ids; 0 is text


def use_trained_positions() -> None:
    """Make every Qwen2.5-VL of this process follow the rule, in training and in generate.

    On the class, because trainers build reference models of their own.
    """
    Qwen2_5_VLModel.get_rope_index = _get_rope_index  # type: ignore[method-assign]


def rope_index(
    kinds: Sequence[int],
    image_grids: Iterator[Sequence[int]],
    video_grids: Iterator[Sequence[int]],
    seconds_per_grid: Iterator[float],
    *,
    merge_size: int,
    tokens_per_second: float,
) -> Tensor:
    """(3, T) int64: time, height and width of each token of one sequence without padding.

    kinds: 0 text, 1 image, 2 video, one a token. Grids are (t, h, w) in patches and are taken from the iterators as the
    sequence meets them. Raises ValueError when a run of vision tokens is not as long as its grid.
    """
    parts: list[Tensor] = []
    begin = 0
    for kind, run in groupby(kinds):
        length = len(list(run))
        if kind not in (IMAGE, VIDEO):
            part = torch.arange(length).expand(3, -1)
        else:
            t, h, w = (int(extent) for extent in next(video_grids if kind == VIDEO else image_grids))
            interval = tokens_per_second * next(seconds_per_grid) if kind == VIDEO else 1.0
            part = _grid_positions(t, h // merge_size, w // merge_size, interval)
            if part.shape[1] != length:
                name = "video" if kind == VIDEO else "image"
                raise ValueError(f"{length} {name} tokens in a row, but the grid {t}x{h}x{w} makes {part.shape[1]}")
        parts.append(part + begin)
        begin = int(parts[-1].max()) + 1
    return torch.cat(parts, dim=1) if parts else torch.zeros(3, 0, dtype=torch.long)


def _grid_positions(num_times: int, num_rows: int, num_columns: int, interval: float) -> Tensor:
    """(3, t * h * w), from 0. Times are cut to whole positions in single precision, as everywhere else."""
    times = (torch.arange(num_times) * interval).long()
    axes = torch.meshgrid(times, torch.arange(num_rows), torch.arange(num_columns), indexing="ij")
    return torch.stack(axes).reshape(3, -1)


def _get_rope_index(
    self: Any,
    input_ids: Tensor,
    mm_token_type_ids: Tensor,
    image_grid_thw: Tensor | None = None,
    video_grid_thw: Tensor | None = None,
    second_per_grid_ts: Tensor | Sequence[float] | None = None,
    attention_mask: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """In the place of Qwen2_5_VLModel.get_rope_index: positions (3, B, T) and deltas (B, 1)."""
    vision = self.config.vision_config
    kept = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    positions = torch.zeros(3, *input_ids.shape, dtype=torch.long)
    image_grids, video_grids = _rows(image_grid_thw), _rows(video_grid_thw)
    seconds = _seconds(second_per_grid_ts, 0 if video_grid_thw is None else len(video_grid_thw))
    deltas = []
    for row, (kinds, mask) in enumerate(zip(mm_token_type_ids.cpu(), kept.bool().cpu(), strict=True)):
        found = rope_index(
            kinds[mask].tolist(),
            image_grids,
            video_grids,
            seconds,
            merge_size=vision.spatial_merge_size,
            tokens_per_second=vision.tokens_per_second,
        )
        positions[:, row, mask] = found
        deltas.append([int(found.max()) + 1 - found.shape[1] if found.numel() else 0])
    return positions.to(input_ids.device), torch.tensor(deltas, device=input_ids.device)


def _rows(grids: Tensor | None) -> Iterator[Sequence[int]]:
    return iter([] if grids is None else grids.tolist())


def _seconds(second_per_grid_ts: Tensor | Sequence[float] | None, num_videos: int) -> Iterator[float]:
    """Raises ValueError where a video's time is missing or was rounded: the model would see another clip, silently."""
    if second_per_grid_ts is None or len(second_per_grid_ts) != num_videos:
        known = 0 if second_per_grid_ts is None else len(second_per_grid_ts)
        if num_videos or known:
            raise ValueError(f"second_per_grid_ts has {known} entries for {num_videos} videos; give each its seconds")
        return iter(())
    if isinstance(second_per_grid_ts, Tensor):
        if second_per_grid_ts.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"second_per_grid_ts is {second_per_grid_ts.dtype}, which moves frames in time")
        return iter(second_per_grid_ts.tolist())
    return iter([float(seconds) for seconds in second_per_grid_ts])
