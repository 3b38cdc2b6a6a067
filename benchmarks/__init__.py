"""What is measured rather than tested, and the recordings to measure with."""
