"""TaskHub: a durable task server; this package is what user code imports."""
