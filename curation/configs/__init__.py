"""Run configs and the price table."""
