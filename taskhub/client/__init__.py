"""The Python client: speaks HTTP with a TaskHub, knows nothing of how one is built."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskhub.client.errors import Problem as Problem
    from taskhub.client.errors import TaskHubError as TaskHubError
    from taskhub.client.errors import Unexpected as Unexpected
    from taskhub.client.errors import Unreachable as Unreachable
    from taskhub.client.hub import TaskHub as TaskHub
    from taskhub.client.retries import Retries as Retries
    from taskhub.client.structs import Attempt as Attempt
    from taskhub.client.structs import BatchAnswer as BatchAnswer
    from taskhub.client.structs import BatchItem as BatchItem
    from taskhub.client.structs import BulkReport as BulkReport
    from taskhub.client.structs import Child as Child
    from taskhub.client.structs import Event as Event
    from taskhub.client.structs import FailureGroup as FailureGroup
    from taskhub.client.structs import Handed as Handed
    from taskhub.client.structs import LeaseState as LeaseState
    from taskhub.client.structs import Outcome as Outcome
    from taskhub.client.structs import Parent as Parent
    from taskhub.client.structs import Status as Status
    from taskhub.client.structs import TaskItem as TaskItem
    from taskhub.client.structs import TaskPage as TaskPage
    from taskhub.client.sync import SyncTaskHub as SyncTaskHub
    from taskhub.client.worker import Failure as Failure
    from taskhub.client.worker import Job as Job

_HOMES = {
    "Attempt": "structs",
    "BatchAnswer": "structs",
    "BatchItem": "structs",
    "BulkReport": "structs",
    "Child": "structs",
    "Event": "structs",
    "Failure": "worker",
    "FailureGroup": "structs",
    "Handed": "structs",
    "Job": "worker",
    "LeaseState": "structs",
    "Outcome": "structs",
    "Parent": "structs",
    "Problem": "errors",
    "Retries": "retries",
    "Status": "structs",
    "SyncTaskHub": "sync",
    "TaskHub": "hub",
    "TaskHubError": "errors",
    "TaskItem": "structs",
    "TaskPage": "structs",
    "Unexpected": "errors",
    "Unreachable": "errors",
}

__all__ = [
    "Attempt",
    "BatchAnswer",
    "BatchItem",
    "BulkReport",
    "Child",
    "Event",
    "Failure",
    "FailureGroup",
    "Handed",
    "Job",
    "LeaseState",
    "Outcome",
    "Parent",
    "Problem",
    "Retries",
    "Status",
    "SyncTaskHub",
    "TaskHub",
    "TaskHubError",
    "TaskItem",
    "TaskPage",
    "Unexpected",
    "Unreachable",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: errors and structs need no HTTP library."""
    if name not in _HOMES:
        raise AttributeError(f"module 'taskhub.client' has no attribute {name!r}")
    return getattr(import_module(f"taskhub.client.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
