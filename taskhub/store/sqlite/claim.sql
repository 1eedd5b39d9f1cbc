-- Handing out work. Every statement here runs in a transaction that holds the write lock.

-- task = the columns of a task in the order in which rows.py reads them
Id, Title, Type, Queue, Priority, Status, Attempts, MaxAttempts, TimeoutSeconds, CancelRequested,
CreatedAt, UpdatedAt, RunAt, StartedAt, FinishedAt, CreatedBy, Error, Progress, Payload, Result

-- served = whether the queue and the type of `candidate` are served here and not paused
(:queues IS NULL OR candidate.Queue IN (SELECT value FROM json_each(:queues)))
AND NOT EXISTS (SELECT 1 FROM Queues WHERE Name = candidate.Queue AND Paused)
AND NOT EXISTS (SELECT 1 FROM Types WHERE Name = candidate.Type AND Paused)

-- take = what a claim does to a row; the fence only ever grows
UPDATE Tasks
   SET Status = 'Processing', Attempts = Attempts + 1, Fence = Fence + 1, LeaseOwner = :owner,
       LeaseUntil = :until, StartedAt = :now, UpdatedAt = :now

-- claim: hand up to :limit due tasks to :owner, most urgent first, whatever else is waiting
-- The index Tasks_Claim holds the pending rows as (Type, Queue, Priority DESC, RunAt, Id). `kinds`
-- jumps over it from one queue of a wanted type to the next, `levels` from one priority to the
-- next: each jump is one seek, however many rows lie between. Inside a level only rows that are due
-- are read. So rows that cannot be taken (of the future, of unknown types, in paused queues) cost
-- nothing: the work is a few seeks for each (type, queue, priority) that has pending rows.
WITH RECURSIVE kinds (Type, Queue) AS (
    SELECT wanted.value,
           (SELECT Queue FROM Tasks INDEXED BY Tasks_Claim
             WHERE Status = 'Pending' AND Suspect = 0 AND Type = wanted.value
             ORDER BY Queue LIMIT 1)
      FROM json_each(:types) AS wanted
     UNION ALL
    SELECT kinds.Type,
           (SELECT Queue FROM Tasks INDEXED BY Tasks_Claim
             WHERE Status = 'Pending' AND Suspect = 0 AND Type = kinds.Type
               AND Queue > kinds.Queue
             ORDER BY Queue LIMIT 1)
      FROM kinds
     WHERE kinds.Queue IS NOT NULL
), levels (Type, Queue, Priority) AS (
    SELECT candidate.Type, candidate.Queue,
           (SELECT Priority FROM Tasks INDEXED BY Tasks_Claim
             WHERE Status = 'Pending' AND Suspect = 0 AND Type = candidate.Type
               AND Queue = candidate.Queue
             ORDER BY Priority DESC LIMIT 1)
      FROM kinds AS candidate
     WHERE candidate.Queue IS NOT NULL AND {served}
     UNION ALL
    SELECT levels.Type, levels.Queue,
           (SELECT Priority FROM Tasks INDEXED BY Tasks_Claim
             WHERE Status = 'Pending' AND Suspect = 0 AND Type = levels.Type
               AND Queue = levels.Queue AND Priority < levels.Priority
             ORDER BY Priority DESC LIMIT 1)
      FROM levels
     WHERE levels.Priority IS NOT NULL
)
{take}
 WHERE Status = 'Pending' AND rowid IN (
    SELECT due.rowid
      FROM levels CROSS JOIN Tasks AS due
        ON due.rowid IN (SELECT rowid FROM Tasks INDEXED BY Tasks_Claim
                          WHERE Status = 'Pending' AND Suspect = 0 AND Type = levels.Type
                            AND Queue = levels.Queue AND Priority = levels.Priority
                            AND RunAt <= :now
                          ORDER BY RunAt, Id LIMIT :limit)
     ORDER BY due.Priority DESC, due.RunAt, due.Id
     LIMIT :limit)
RETURNING {task}, Fence, Suspect, TraceParent;

-- claim_suspect: hand the most urgent due suspect to :owner, alone; there are few of them
{take}
 WHERE Status = 'Pending' AND rowid = (
    SELECT candidate.rowid FROM Tasks AS candidate INDEXED BY Tasks_Suspects
     WHERE candidate.Status = 'Pending' AND candidate.Suspect = 1
       AND candidate.Type IN (SELECT value FROM json_each(:types))
       AND candidate.RunAt <= :now AND {served}
     ORDER BY candidate.Priority DESC, candidate.RunAt, candidate.Id LIMIT 1)
RETURNING {task}, Fence, Suspect, TraceParent;

-- renew: extend the leases that are still held under their fence, each given as [id, fence]
UPDATE Tasks SET LeaseUntil = :until
  FROM json_each(:held) AS held
 WHERE Tasks.Id = held.value ->> 0 AND Tasks.Fence = held.value ->> 1
   AND Tasks.Status = 'Processing'
RETURNING Id, CancelRequested;

-- release: give claimed tasks back unharmed, each given as [id, fence]; a cancel asked for is kept
UPDATE Tasks
   SET Status = CASE WHEN CancelRequested THEN 'Cancelled' ELSE 'Pending' END,
       FinishedAt = CASE WHEN CancelRequested THEN :now END,
       Attempts = Attempts - 1, LeaseOwner = NULL, LeaseUntil = NULL, UpdatedAt = :now
  FROM json_each(:held) AS held
 WHERE Tasks.Id = held.value ->> 0 AND Tasks.Fence = held.value ->> 1
   AND Tasks.Status = 'Processing'
RETURNING Id, Status, Title;
