"""The parts of benchmarks/qwen3_asr.py."""
