"""The configuration: `sections` is its shape; `load` fills it from file and environment."""
