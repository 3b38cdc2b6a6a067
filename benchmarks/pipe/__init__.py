"""The parts of benchmarks/pipe_utilisation.py."""
