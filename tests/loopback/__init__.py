"""A loopback model server with scripted faults: the OpenAI chat API, the Anthropic Messages and Message Batches APIs.

    with LoopbackServer(reply=lambda body: "...", faults=[Fault(429, retry_after="1"), None, Fault("reset")]) as server:
        OpenAIConfig(base_url=server.openai_url, ...)       # http://127.0.0.1:PORT/v1
        AnthropicConfig(base_url=server.url, ...)           # http://127.0.0.1:PORT
    server.asked["the prompt"], server.answered["the prompt"], server.bodies

or as a process of its own, which prints its URL: `python -m tests.loopback --port 0 --latency-s 0.2`.
"""

from tests.loopback.server import Fault, LoopbackServer, prompt_of

__all__ = ["Fault", "LoopbackServer", "prompt_of"]
