"""What this project measures of itself: ``python -m benchmarks NAME`` writes one section of docs/benchmarks.md."""
