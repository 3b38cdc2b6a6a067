"""The parts of benchmarks/model_swaps.py."""
