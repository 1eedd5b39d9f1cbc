"""Moving a database to another back end, while nobody uses either; each one is a `Side`."""

from taskhub.store.moving.copying import Plan, copy, look
from taskhub.store.moving.side import Side
from taskhub.store.moving.verifying import Copied, Progress

__all__ = ["Copied", "Plan", "Progress", "Side", "copy", "look"]
