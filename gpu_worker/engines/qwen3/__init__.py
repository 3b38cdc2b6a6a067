"""Qwen3-ASR on PyTorch, part by part; the engines beside this folder put the parts together."""
