"""The files of a run: written by `writer`, followed and read by `run`, found by `catalog` (``docs/format.md``)."""
