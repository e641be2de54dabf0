"""What a run yields, one measurement a file: pure functions of the fields of a run."""
