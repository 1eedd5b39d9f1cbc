"""The API's own description, and the page to read it with: all of it from the table of routes."""

from taskhub.http.openapi.serving import described

__all__ = ["described"]
