"""Workers in any language: they claim tasks over HTTP and report what came of them."""
