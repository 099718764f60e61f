"""The model itself as an engine, through transformers: it sees exactly what it was trained with.

Requests that wait at the same time are generated in one batch; each is answered as it would be alone, but for the
rounding of a low-precision dtype. One that cannot be generated costs no other one its answer.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

import torch

from curation.engines.base import Completion, Request
from curation.errors import FatalEngineError, PoisonError
from training.benchmarks.generating import Generated, LoadedModel, Sampling
from training.benchmarks.model_inputs import Prepared, prepare
from training.config import ModelConfig
from training.models import load_processor

_LINGER_S: Final = 0.05  # how long a batch that is not full waits for company; requests start one by one

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    prepared: Prepared
    sampling: Sampling
    completion: asyncio.Future[Completion]


class InProcessEngine:
    """A Qwen2.5-VL on the GPU, if there is one. Its weights are loaded when the first request comes. One event loop.

    send, batch_size: as in InProcessConfig. top_p: of every request whose temperature is not 0; no temperature is 0.
    """

    wants: Literal["nothing", "frames", "file"] = "frames"

    def __init__(self, config: ModelConfig, *, send: Literal["video", "images"], batch_size: int, top_p: float) -> None:
        """Raises ConfigError when there is no such model."""
        self._config = config
        self._processor = load_processor(config)
        self._send = send
        self._batch_size = batch_size
        self._top_p = top_p
        self._loaded: LoadedModel | None = None
        self._waiting: list[_Waiting] = []
        self._worker: asyncio.Task[None] | None = None
        self._is_closed = threading.Event()

    @property
    def model(self) -> str:
        """The name that the config gives it."""
        return self._config.name

    async def complete(self, request: Request) -> Completion:
        """Raises PoisonError for a request that the model cannot take, in a batch or alone.

        FatalEngineError when the accelerator is lost, ConfigError when the weights cannot be loaded.
        """
        try:
            prepared = await asyncio.to_thread(prepare, self._processor, request.prompt, request.media, send=self._send)
        except (OSError, ValueError) as error:
            raise PoisonError(f"cannot be put before the model: {_one_line(error)}") from error
        sampling = Sampling(request.temperature or 0.0, self._top_p, request.max_tokens)
        waiting = _Waiting(prepared, sampling, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await waiting.completion

    async def close(self) -> None:
        """Stop at the next token; what is not answered by then never is."""
        self._is_closed.set()
        if self._worker is not None:
            self._worker.cancel()
            with suppress(asyncio.CancelledError):
                await self._worker

    async def _work(self) -> None:
        """Generate while anybody waits, one batch at a time."""
        try:
            while self._waiting:
                if len(self._waiting) < self._batch_size:
                    await asyncio.sleep(_LINGER_S)
                batch = self._take()
                outcomes: list[Completion] | list[Exception] | list[Completion | Exception]
                try:
                    outcomes = await asyncio.to_thread(self._answer, batch)
                except Exception as error:  # noqa: BLE001 - whoever waits gets it
                    outcomes = [error] * len(batch)
                for waiting, outcome in zip(batch, outcomes, strict=True):
                    if waiting.completion.done():  # cancelled: nobody waits for it any more
                        continue
                    if isinstance(outcome, Completion):
                        waiting.completion.set_result(outcome)
                    else:
                        waiting.completion.set_exception(outcome)
        finally:
            self._worker = None

    def _take(self) -> list[_Waiting]:
        """The first that waits, and who can be generated with it; nobody when all were cancelled."""
        self._waiting = [waiting for waiting in self._waiting if not waiting.completion.done()]
        fitting = [waiting for waiting in self._waiting if waiting.sampling == self._waiting[0].sampling]
        batch = fitting[: self._batch_size]
        self._waiting = [waiting for waiting in self._waiting if waiting not in batch]
        return batch

    def _answer(self, batch: list[_Waiting]) -> list[Completion | Exception]:
        """In a thread. Raises what ends the run: FatalEngineError, ConfigError."""
        if not batch:
            return []
        if self._loaded is None:
            self._loaded = LoadedModel.load(self._config, self._processor)
        try:
            generated = self._loaded.generate(
                [waiting.prepared for waiting in batch], batch[0].sampling, is_stopped=self._is_closed.is_set
            )
        except torch.AcceleratorError as error:  # nothing works on it any more
            raise FatalEngineError(
                f"the accelerator failed: {_one_line(error)}. Run the same command again; what is answered is kept."
            ) from error
        except Exception as error:  # noqa: BLE001 - whatever it is, it is one request's until it is that of each
            if len(batch) == 1:
                return [PoisonError(f"the model failed on it: {_one_line(error)}")]
            _log.warning("a batch of %d failed (%s); each goes alone", len(batch), _one_line(error))
        else:
            return [self._complete(waiting, text) for waiting, text in zip(batch, generated, strict=True)]
        return [outcome for waiting in batch for outcome in self._answer([waiting])]

    def _complete(self, waiting: _Waiting, generated: Generated) -> Completion:
        return Completion(
            text=generated.text,
            model=self.model,
            stop_reason="stop" if generated.is_ended else "length",
            input_tokens=len(waiting.prepared.ids),
            output_tokens=generated.num_tokens,
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
