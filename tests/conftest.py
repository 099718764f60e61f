"""For every test: no assertion on time, because machines are noisy; hypothesis has two of its own."""

from hypothesis import HealthCheck, settings

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")
