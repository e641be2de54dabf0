"""What every command and figure shares: configs, command lines, provenance, style, statistics."""
