"""What stored data look like and say: figures, captions and claims, one module per experiment."""
