"""One configuration file per experiment."""
