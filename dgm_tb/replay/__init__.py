"""A recorded step, run again: its tape, and the credit that follows from it; PyTorch in the worker's process only."""
