"""Schedules in values: when a cron expression is due, what is done with each due time; no store."""
