"""The tables as one SQLAlchemy metadata: where the migrations lead, what they are compared with.

Imported only where the schema is made, moved or checked: a running store speaks its own SQL. Times
of day are whole microseconds since 1970 UTC; `LeaseUntil` is in seconds of the clock that the
database keeps leases by. The big columns stand last, so that the small ones are read without them.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

from taskhub.store.migrations.dialects import number, where

PENDING = where('"Status" = \'Pending\' AND "Suspect" = 0')
SUSPECT = where('"Status" = \'Pending\' AND "Suspect" = 1')
HAS_RESULT = where('"ResultUntil" IS NOT NULL AND "Result" IS NOT NULL')
OPEN = where('"EndedAs" IS NULL')
FAILED = where("\"Status\" = 'Failed'")
HAS_FINGERPRINT = where("\"Fingerprint\" <> ''")
IN_TURN = where('"Status" = \'Pending\' AND "Suspect" = 2')
GROUPED = where('"Status" = \'Processing\' AND "GroupKey" IS NOT NULL')
PROCESSING = where("\"Status\" = 'Processing'")
NOT_PROCESSING = where("\"Status\" <> 'Processing'")
ACT = where("\"Message\" <> 'heartbeat'")
EXPIRES = where('"ExpiresAt" IS NOT NULL')
HEARTBEAT = where("\"Message\" = 'heartbeat'")

metadata = MetaData()

tasks = Table(
    "Tasks",
    metadata,
    Column("Id", String(36), primary_key=True),
    Column("Title", String(200), nullable=False),
    Column("Type", String(100), nullable=False),
    Column("Queue", String(100), nullable=False),
    Column("Priority", Integer, nullable=False),
    Column("Status", String(10), nullable=False, server_default=text("'Pending'")),
    Column("Attempts", Integer, nullable=False, server_default=text("0")),
    Column("MaxAttempts", Integer, nullable=False),
    Column("TimeoutSeconds", Float, nullable=False),
    Column("RunAt", BigInteger, nullable=False),
    Column("CreatedAt", BigInteger, nullable=False),
    Column("UpdatedAt", BigInteger, nullable=False),
    Column("StartedAt", BigInteger),
    Column("FinishedAt", BigInteger),
    Column("Fence", BigInteger, nullable=False, server_default=text("0")),
    Column("LeaseOwner", String(200)),
    Column("LeaseUntil", Float),
    Column("Suspect", Integer, nullable=False, server_default=text("0")),
    Column("CancelRequested", Integer, nullable=False, server_default=text("0")),
    Column("CreatedBy", String(200), nullable=False),
    Column("UniqueKey", String(255)),
    Column("TraceParent", String(100)),
    Column("Progress", Text),
    Column("Error", Text),
    Column("Payload", Text, nullable=False),
    Column("Result", Text),
    Column("Backoff", String(200)),
    Column("Fingerprint", String(32), nullable=False, server_default=text("''")),
    Column("ResultUntil", BigInteger),
    Column("GroupKey", String(100)),
    Column("After", Text),
)
"""One row per task. Ids are UUIDv7, sorted by creation: `CreatedAt` needs no index of its own.

`Suspect`: 1 is one that runs alone, 2 waits for the turn of its key; 4 more are held back until
those that they are after have ended, so that no index of what can be claimed has them. `After`:
what becomes of it when one of those fails, and their ids.
"""

Index(
    "Tasks_Claim",
    *(tasks.c.Type, tasks.c.Queue, tasks.c.Priority.desc(), tasks.c.RunAt, tasks.c.Id),
    **PENDING,
)
Index(
    "Tasks_Suspects",
    *(tasks.c.Type, tasks.c.Queue, tasks.c.Priority.desc(), tasks.c.RunAt, tasks.c.Id),
    **SUSPECT,
)
Index(
    "Tasks_Turns",
    *(tasks.c.Type, tasks.c.Queue, tasks.c.Priority.desc(), tasks.c.GroupKey),
    *(tasks.c.RunAt, tasks.c.Id),
    **IN_TURN,
)
Index("Tasks_Later", tasks.c.Type, tasks.c.Queue, tasks.c.RunAt, **IN_TURN)
Index("Tasks_Groups", tasks.c.Queue, tasks.c.GroupKey, **GROUPED)
Index("Tasks_Leases", tasks.c.CancelRequested, **PROCESSING)
Index(
    "Tasks_Status",
    *(tasks.c.Status, tasks.c.Type, tasks.c.Queue, tasks.c.Id),
    **NOT_PROCESSING,
)

Index("Tasks_Fingerprint", tasks.c.Fingerprint, tasks.c.Id, **HAS_FINGERPRINT)
Index(
    "Tasks_Failures",
    *(tasks.c.Type, tasks.c.Fingerprint, tasks.c.FinishedAt),
    **FAILED,
)

Index("Tasks_Results", tasks.c.ResultUntil, **HAS_RESULT)
waits = Table(
    "Waits",
    metadata,
    Column("TaskId", String(36), primary_key=True),
    Column("Place", Integer, primary_key=True),
    Column("Parent", String(36), nullable=False),
    Column("EndedAs", String(10)),
)
"""Which task is after which, each in its order. `EndedAs` comes in the transaction that ends the
parent; `Waived`: it does not matter any more, for an operator has begun the task anew. A trigger
takes the rows away with the task that waits.
"""

Index("Waits_Parent", waits.c.Parent, waits.c.TaskId)
Index("Waits_Open", waits.c.Parent, **OPEN)

unsettled = Table(
    "Unsettled",
    metadata,
    Column("TaskId", String(36), primary_key=True),
    Column("EndedAs", String(10), nullable=False),
)
"""Tasks that have ended with more to follow than one transaction decides: sweeps go on with it."""

attempts = Table(
    "Attempts",
    metadata,
    Column("TaskId", String(36), primary_key=True),
    Column("Slot", Integer, primary_key=True),
    Column("Fence", BigInteger, nullable=False),
    Column("Attempt", Integer, nullable=False),
    Column("StartedAt", BigInteger),
    Column("EndedAt", BigInteger, nullable=False),
    Column("Worker", String(200)),
    Column("Fingerprint", String(32), nullable=False, server_default=text("''")),
    Column("Exception", String(100)),
    Column("Place", String(200)),
    Column("Error", Text),
    Column("Trace", Text),
)
"""What attempts have failed of. A slot is the fence modulo 50, so that no task fills the table; a
trigger takes the rows away with their task.
"""

events = Table(
    "Events",
    metadata,
    Column("Seq", number(), primary_key=True),
    Column("At", BigInteger, nullable=False),
    Column("Type", String(20), nullable=False),
    Column("TaskId", String(36), nullable=False),
    Column("Data", Text),
)
"""What happened, appended in the transaction of the change that it tells of."""

Index("Events_TaskId", events.c.TaskId)

webhooks = Table(
    "Webhooks",
    metadata,
    Column("Name", String(100), primary_key=True),
    Column("Seq", BigInteger, nullable=False),
)
"""Up to which event each webhook has its deliveries: moved in the transaction that makes them."""

audit = Table(
    "Audit",
    metadata,
    Column("Id", number(), primary_key=True),
    Column("At", BigInteger, nullable=False),
    Column("Message", Text, nullable=False),
    Column("Actor", String(200), nullable=False),
    Column("TaskId", String(36)),
    Column("Address", String(100)),
    Column("RequestId", String(100)),
)
"""Heartbeats and administrative acts: appended, never changed (a trigger), pruned by age alone."""

Index("Audit_Acts", audit.c.At, **ACT)
Index("Audit_Actors", audit.c.Actor, audit.c.At, **ACT)
Index("Audit_Tasks", audit.c.TaskId, audit.c.At, **where('"TaskId" IS NOT NULL'))
Index("Audit_Heartbeats", audit.c.At, audit.c.Actor, **HEARTBEAT)

idempotency_keys = Table(
    "IdempotencyKeys",
    metadata,
    Column("Principal", String(200), primary_key=True),
    Column("Key", String(255), primary_key=True),
    Column("RequestHash", String(128), nullable=False),
    Column("TaskId", String(36), nullable=False),
    Column("ExpiresAt", BigInteger, nullable=False),
    Column("Answer", LargeBinary, nullable=False),
    Column("Status", Integer, nullable=False, server_default=text("201")),
)
Index("IdempotencyKeys_ExpiresAt", idempotency_keys.c.ExpiresAt)

unique_keys = Table(
    "UniqueKeys",
    metadata,
    Column("Type", String(100), primary_key=True),
    Column("Key", String(255), primary_key=True),
    Column("TaskId", String(36), nullable=False),
    Column("ExpiresAt", BigInteger),
    Column("States", String(60), nullable=False, server_default=text("'Pending Processing'")),
)
"""Which task holds a unique key, or held it last: it does while its status is one of `States` and
`ExpiresAt` has not come. A trigger takes the row away with its task.
"""

Index("UniqueKeys_ExpiresAt", unique_keys.c.ExpiresAt, **EXPIRES)

types = Table(
    "Types",
    metadata,
    Column("Name", String(100), primary_key=True),
    Column("Schema", Text, nullable=False),
    Column("RegisteredBy", String(200), nullable=False),
    Column("RegisteredAt", BigInteger, nullable=False),
    Column("Paused", Integer, nullable=False, server_default=text("0")),
    Column("SeenAt", BigInteger),
    Column("Revision", BigInteger, nullable=False, server_default=text("0")),
)

queues = Table(
    "Queues",
    metadata,
    Column("Name", String(100), primary_key=True),
    Column("Paused", Integer, nullable=False, server_default=text("0")),
    Column("UpdatedAt", BigInteger, nullable=False),
    Column("UpdatedBy", String(200), nullable=False),
)

turns = Table(
    "Turns",
    metadata,
    Column("Queue", String(100), primary_key=True),
    Column("GroupKey", String(100), nullable=False),
    Column("At", BigInteger, nullable=False),
)
"""Which key of a queue was the last to have its turn."""

starts = Table(
    "Starts",
    metadata,
    Column("Queue", String(100), primary_key=True),
    Column("GroupKey", String(100), primary_key=True),
    Column("At", BigInteger, primary_key=True),
    Column("Count", Integer, nullable=False),
)
"""How many tasks of a queue (GroupKey '') or of a key began in a slice of time; for rates alone."""

Index("Starts_Age", starts.c.Queue, starts.c.At)

schedules = Table(
    "Schedules",
    metadata,
    Column("Name", String(100), primary_key=True),
    Column("Cron", String(200), nullable=False),
    Column("TimeZone", String(100), nullable=False, server_default=text("'UTC'")),
    Column("Title", String(200), nullable=False),
    Column("Type", String(100), nullable=False),
    Column("Queue", String(100), nullable=False),
    Column("Priority", Integer, nullable=False, server_default=text("0")),
    Column("Enabled", Integer, nullable=False, server_default=text("1")),
    Column("NextAt", BigInteger),
    Column("LastAt", BigInteger),
    Column("UpdatedAt", BigInteger, nullable=False),
    Column("UpdatedBy", String(200), nullable=False),
    Column("Payload", Text, nullable=False),
    Column("MaxAttempts", Integer),
    Column("TimeoutSeconds", Float),
    Column("Misfire", String(10), nullable=False, server_default=text("'once'")),
    Column("MisfireGrace", Float, nullable=False, server_default=text("60")),
    Column("Overlap", String(10), nullable=False, server_default=text("'skip'")),
    Column("Version", Integer, nullable=False, server_default=text("1")),
    Column("Source", String(10), nullable=False, server_default=text("'api'")),
    Column("Place", String(200), nullable=False, server_default=text("''")),
    Column("LastTaskId", String(36)),
)
"""What is made and when; `NextAt` is the due time that is handled next, also where it is past."""

Index("Schedules_Due", schedules.c.NextAt, **where('"Enabled" = 1'))
Index("Schedules_Source", schedules.c.Source, schedules.c.Place)

schedule_runs = Table(
    "ScheduleRuns",
    metadata,
    Column("Schedule", String(100), primary_key=True),
    Column("DueAt", BigInteger, primary_key=True),
    Column("At", BigInteger, nullable=False),
    Column("Since", BigInteger),
    Column("Outcome", String(10), nullable=False),
    Column("Reason", String(20), nullable=False, server_default=text("''")),
    Column("Manual", Integer, nullable=False, server_default=text("0")),
    Column("TaskId", String(36)),
)
"""One row for each due time that was handled: whoever comes second finds it there."""

Index(
    "ScheduleRuns_Waiting",
    *(schedule_runs.c.Schedule, schedule_runs.c.DueAt),
    **where("\"Outcome\" = 'waiting'"),
)
Index("ScheduleRuns_At", schedule_runs.c.At, **where("\"Outcome\" <> 'waiting'"))
