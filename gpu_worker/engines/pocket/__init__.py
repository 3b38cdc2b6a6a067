"""Pocket TTS as transformers computes it: its checkpoint, the voices that it has heard, and how it is made to speak."""
