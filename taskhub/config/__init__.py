"""The configuration: `sections` is its shape; `load` reads file, environment and command line into it."""
