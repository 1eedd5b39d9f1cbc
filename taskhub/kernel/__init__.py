"""Actors in general: mailboxes, supervisors, child processes, signals; knows nothing of tasks."""
