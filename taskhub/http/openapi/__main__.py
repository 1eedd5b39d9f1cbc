"""Prints the description, as this version serves it where nothing is configured otherwise."""

from __future__ import annotations

import sys

import msgspec

from taskhub.http.openapi import described
from taskhub.http.openapi.document import document
from taskhub.http.routes import MESSAGES, ROUTES

told = document(described(ROUTES, MESSAGES), MESSAGES)
sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(told)) + b"\n")
