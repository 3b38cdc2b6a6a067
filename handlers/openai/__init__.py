"""What OpenAI's clients speak, on top of the same use cases: nothing here is a second way to a transcript."""
