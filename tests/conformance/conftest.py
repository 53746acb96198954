"""The fixtures of the callback's own tests, and the processes that some of these share."""

from tests.callbacks.conftest import _seeded, framework, pl
from tests.conformance.launch import two_ranks

__all__ = ["_seeded", "framework", "pl", "two_ranks"]
