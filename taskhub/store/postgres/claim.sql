-- Handing out work. Several writers do so at once: none waits for a row that another one holds.

-- task = the columns of a task in the order in which rows.py reads them
Id, Title, Type, Queue, Priority, Status, Attempts, MaxAttempts, TimeoutSeconds, CancelRequested,
CreatedAt, UpdatedAt, RunAt, StartedAt, FinishedAt, CreatedBy, Error, Progress, Payload, Result,
Backoff, Fingerprint, ResultUntil, GroupKey, After

-- lease = the columns of a row that is handed out, in the order in which rows.py reads them
Tasks.Id, Tasks.Id, Title, Type, Queue, Priority, Attempts, MaxAttempts, TimeoutSeconds, CreatedAt,
RunAt, CreatedBy, Error, Progress, Payload, Fence, TraceParent, Backoff, Fingerprint, GroupKey,
After

-- due: up to :limit due tasks, the most urgent ones that nobody else is taking, and lock them
-- The index Tasks_Claim holds the pending rows as (Type, Queue, Priority DESC, RunAt, Id). `kinds`
-- jumps over it from one queue of a wanted type to the next, `levels` from one priority to the
-- next: each jump is one seek, however many rows lie between. Inside a level only rows that are due
-- are read. So rows that cannot be taken (of the future, of unknown types, in paused queues) cost
-- nothing. More may be locked than is taken; that ends with the transaction.
WITH RECURSIVE kinds (OfType, InQueue) AS (
    SELECT wanted.value,
           (SELECT Queue FROM Tasks
             WHERE Status = 'Pending' AND Suspect = 0 AND Type = wanted.value
             ORDER BY Queue LIMIT 1)
      FROM json_array_elements_text(:types) AS wanted (value)
     UNION ALL
    SELECT OfType,
           (SELECT Queue FROM Tasks
             WHERE Status = 'Pending' AND Suspect = 0 AND Type = OfType AND Queue > InQueue
             ORDER BY Queue LIMIT 1)
      FROM kinds
     WHERE InQueue IS NOT NULL
), served (OfType, InQueue) AS (
    SELECT OfType, InQueue
      FROM kinds
     WHERE InQueue IS NOT NULL
       AND (CAST(:queues AS json) IS NULL OR InQueue IN (SELECT json_array_elements_text(:queues)))
       AND NOT EXISTS (SELECT 1 FROM Queues WHERE Name = InQueue AND Paused = 1)
       AND NOT EXISTS (SELECT 1 FROM Types WHERE Name = OfType AND Paused = 1)
       AND (CAST(:full AS json) IS NULL
            OR InQueue NOT IN (SELECT json_array_elements_text(:full)))
), levels (OfType, InQueue, AtPriority) AS (
    SELECT OfType, InQueue,
           (SELECT Priority FROM Tasks
             WHERE Status = 'Pending' AND Suspect = 0 AND Type = OfType AND Queue = InQueue
             ORDER BY Priority DESC LIMIT 1)
      FROM served
     UNION ALL
    SELECT OfType, InQueue,
           (SELECT Priority FROM Tasks
             WHERE Status = 'Pending' AND Suspect = 0 AND Type = OfType AND Queue = InQueue
               AND Priority < AtPriority
             ORDER BY Priority DESC LIMIT 1)
      FROM levels
     WHERE AtPriority IS NOT NULL
)
SELECT {lease}
  FROM levels CROSS JOIN LATERAL (
       SELECT * FROM Tasks AS Due
        WHERE Status = 'Pending' AND Suspect = 0 AND Type = OfType
          AND Queue = InQueue AND Priority = AtPriority AND RunAt <= :now
        ORDER BY RunAt, Id LIMIT :limit
          FOR UPDATE SKIP LOCKED) AS Tasks
 ORDER BY Priority DESC, RunAt, Id LIMIT :limit;

-- due_suspect: the most urgent due suspect, alone; there are few of them
SELECT {lease} FROM Tasks
 WHERE Status = 'Pending' AND Suspect = 1 AND RunAt <= :now
   AND Type IN (SELECT json_array_elements_text(:types))
   AND (CAST(:queues AS json) IS NULL OR Queue IN (SELECT json_array_elements_text(:queues)))
   AND NOT EXISTS (SELECT 1 FROM Queues WHERE Name = Tasks.Queue AND Paused = 1)
   AND NOT EXISTS (SELECT 1 FROM Types WHERE Name = Tasks.Type AND Paused = 1)
   AND (CAST(:full AS json) IS NULL OR Queue NOT IN (SELECT json_array_elements_text(:full)))
   AND NOT EXISTS (
       SELECT 1 FROM json_array_elements(:limits) AS bound (value)
        WHERE bound.value ->> 0 = Tasks.Queue AND Tasks.GroupKey IS NOT NULL
          AND (bound.value ->> 1)::bigint <= (
              SELECT count(*) FROM Tasks AS Running
               WHERE Running.Status = 'Processing' AND Running.GroupKey IS NOT NULL
                 AND Running.Queue = Tasks.Queue AND Running.GroupKey = Tasks.GroupKey))
 ORDER BY Priority DESC, RunAt, Id LIMIT least(1, CAST(:limit AS integer))
   FOR UPDATE OF Tasks SKIP LOCKED;

-- claim: hand the rows that `due` has found and locked, in the same transaction, to :owner
-- Attempts are counted here; the fence only ever grows. Written so that no plan reads what is pending:
-- with statistics of yesterday the server went through all of it for each claim.
UPDATE Tasks
   SET Status = 'Processing', Attempts = Attempts + 1, Fence = Fence + 1, LeaseOwner = :owner,
       LeaseUntil = :until, StartedAt = :now, UpdatedAt = :now
 WHERE Id = ANY (ARRAY(SELECT json_array_elements_text(:rows))) AND Status || '' = 'Pending';

-- renew: extend the leases that are still held under their fence, each given as [id, fence]
UPDATE Tasks SET LeaseUntil = :until
  FROM json_array_elements(:held) AS held (value)
 WHERE Tasks.Id = held.value ->> 0 AND Tasks.Fence = (held.value ->> 1)::bigint
   AND Tasks.Status = 'Processing'
RETURNING Id, CancelRequested;

-- release: give claimed tasks back unharmed, each given as [id, fence]; a cancel asked for is kept
UPDATE Tasks
   SET Status = CASE WHEN CancelRequested = 1 THEN 'Cancelled' ELSE 'Pending' END,
       FinishedAt = CASE WHEN CancelRequested = 1 THEN CAST(:now AS bigint) END,
       Attempts = Attempts - 1, LeaseOwner = NULL, LeaseUntil = NULL, UpdatedAt = :now
  FROM json_array_elements(:held) AS held (value)
 WHERE Tasks.Id = held.value ->> 0 AND Tasks.Fence = (held.value ->> 1)::bigint
   AND Tasks.Status = 'Processing'
RETURNING Id, Fence, Status, Title;
