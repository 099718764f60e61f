"""Engines: anything that completes a prompt."""
