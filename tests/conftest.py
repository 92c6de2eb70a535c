"""What every test shares: how Hypothesis draws."""

from hypothesis import HealthCheck, settings

# The same examples each time: a failure on one machine is a failure on every machine, and says
# which example it was.
settings.register_profile(
    "backlit",
    deadline=None,
    derandomize=True,
    max_examples=60,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("backlit")
