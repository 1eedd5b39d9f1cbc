-- Handing out work. Several writers do so at once: none waits for a row that another one holds.
-- Names are compared with what a JSON parameter holds in the columns' own collation, {exact}.

-- exact = how our texts are compared: by their code units, letters and cases all different
COLLATE LATIN1_GENERAL_BIN2

-- taking = rows are locked for their change, and those that others hold are passed over
WITH (ROWLOCK, READPAST, UPDLOCK, READCOMMITTEDLOCK)

-- keeping = rows are locked until the commit, once nobody else holds them
WITH (ROWLOCK, UPDLOCK, READCOMMITTEDLOCK)

-- task = the columns of a task in the order in which rows.py reads them
Id, Title, Type, Queue, Priority, Status, Attempts, MaxAttempts, TimeoutSeconds, CancelRequested,
CreatedAt, UpdatedAt, RunAt, StartedAt, FinishedAt, CreatedBy, Error, Progress, Payload, Result,
Backoff, Fingerprint, ResultUntil, GroupKey, After

-- changed = the same as a change has left them
inserted.Id, inserted.Title, inserted.Type, inserted.Queue, inserted.Priority, inserted.Status,
inserted.Attempts, inserted.MaxAttempts, inserted.TimeoutSeconds, inserted.CancelRequested,
inserted.CreatedAt, inserted.UpdatedAt, inserted.RunAt, inserted.StartedAt, inserted.FinishedAt,
inserted.CreatedBy, inserted.Error, inserted.Progress, inserted.Payload, inserted.Result,
inserted.Backoff, inserted.Fingerprint, inserted.ResultUntil, inserted.GroupKey, inserted.After

-- lease = the columns of a row that is handed out, in the order in which rows.py reads them
Tasks.Id, Tasks.Id, Tasks.Title, Tasks.Type, Tasks.Queue, Tasks.Priority, Tasks.Attempts,
Tasks.MaxAttempts, Tasks.TimeoutSeconds, Tasks.CreatedAt, Tasks.RunAt, Tasks.CreatedBy,
Tasks.Error, Tasks.Progress, Tasks.Payload, Tasks.Fence, Tasks.TraceParent, Tasks.Backoff,
Tasks.Fingerprint, Tasks.GroupKey, Tasks.After

-- ids = the ids of a parameter
SELECT given.Value {exact} FROM OPENJSON(:ids) WITH (Value NVARCHAR(36) '$') AS given

-- asked_queues = the queues that are asked for
SELECT given.Value {exact} FROM OPENJSON(:queues) WITH (Value NVARCHAR(100) '$') AS given

-- full_queues = the queues that have no room
SELECT given.Value {exact} FROM OPENJSON(:full) WITH (Value NVARCHAR(100) '$') AS given

-- due: up to :limit due tasks, the most urgent ones that nobody else is taking, and lock them
-- The index Tasks_Claim holds the pending rows as (Type, Queue, Priority DESC, RunAt, Id). `kinds`
-- jumps over it from one queue of a wanted type to the next, `levels` from one priority to the
-- next: each jump is one seek, however many rows lie between (the recursive part of a CTE may say
-- no TOP: the first row by its number is the same). Inside a level only rows that are due are read.
-- So rows that cannot be taken (of the future, of unknown types, in paused queues) cost nothing.
-- More may be locked than is taken; that ends with the transaction.
WITH kinds (OfType, InQueue) AS (
    SELECT jump.Type, jump.Queue
      FROM OPENJSON(:types) WITH (Value NVARCHAR(100) '$') AS wanted
     CROSS APPLY (SELECT TOP (1) t.Type, t.Queue FROM Tasks AS t
                   WHERE t.Status = 'Pending' AND t.Suspect = 0
                     AND t.Type = wanted.Value {exact}
                   ORDER BY t.Queue) AS jump
     UNION ALL
    SELECT kinds.OfType, jump.Queue
      FROM kinds
     CROSS APPLY (SELECT t.Queue, ROW_NUMBER() OVER (ORDER BY t.Queue) AS Number FROM Tasks AS t
                   WHERE t.Status = 'Pending' AND t.Suspect = 0 AND t.Type = kinds.OfType
                     AND t.Queue > kinds.InQueue) AS jump
     WHERE jump.Number = 1
), served (OfType, InQueue) AS (
    SELECT kinds.OfType, kinds.InQueue
      FROM kinds
     WHERE (CAST(:queues AS NVARCHAR(MAX)) IS NULL OR kinds.InQueue IN ({asked_queues}))
       AND NOT EXISTS (SELECT 1 FROM Queues WHERE Queues.Name = kinds.InQueue AND Queues.Paused = 1)
       AND NOT EXISTS (SELECT 1 FROM Types WHERE Types.Name = kinds.OfType AND Types.Paused = 1)
       AND (CAST(:full AS NVARCHAR(MAX)) IS NULL OR kinds.InQueue NOT IN ({full_queues}))
), levels (OfType, InQueue, AtPriority) AS (
    SELECT served.OfType, served.InQueue, jump.Priority
      FROM served
     CROSS APPLY (SELECT TOP (1) t.Priority FROM Tasks AS t
                   WHERE t.Status = 'Pending' AND t.Suspect = 0 AND t.Type = served.OfType
                     AND t.Queue = served.InQueue
                   ORDER BY t.Priority DESC) AS jump
     UNION ALL
    SELECT levels.OfType, levels.InQueue, jump.Priority
      FROM levels
     CROSS APPLY (SELECT t.Priority, ROW_NUMBER() OVER (ORDER BY t.Priority DESC) AS Number
                    FROM Tasks AS t
                   WHERE t.Status = 'Pending' AND t.Suspect = 0 AND t.Type = levels.OfType
                     AND t.Queue = levels.InQueue AND t.Priority < levels.AtPriority) AS jump
     WHERE jump.Number = 1
)
SELECT TOP (:limit) {lease}
  FROM levels
 CROSS APPLY (SELECT TOP (:limit) t.* FROM Tasks AS t {taking}
               WHERE t.Status = 'Pending' AND t.Suspect = 0 AND t.Type = levels.OfType
                 AND t.Queue = levels.InQueue AND t.Priority = levels.AtPriority
                 AND t.RunAt <= :now
               ORDER BY t.RunAt, t.Id) AS Tasks
 ORDER BY Tasks.Priority DESC, Tasks.RunAt, Tasks.Id
OPTION (MAXRECURSION 0);

-- due_suspect: the most urgent due suspect, alone; there are few of them
SELECT TOP (CASE WHEN :limit < 1 THEN 0 ELSE 1 END) {lease} FROM Tasks AS Tasks {taking}
 WHERE Tasks.Status = 'Pending' AND Tasks.Suspect = 1 AND Tasks.RunAt <= :now
   AND Tasks.Type IN (SELECT given.Value {exact}
                        FROM OPENJSON(:types) WITH (Value NVARCHAR(100) '$') AS given)
   AND (CAST(:queues AS NVARCHAR(MAX)) IS NULL OR Tasks.Queue IN ({asked_queues}))
   AND NOT EXISTS (SELECT 1 FROM Queues WHERE Queues.Name = Tasks.Queue AND Queues.Paused = 1)
   AND NOT EXISTS (SELECT 1 FROM Types WHERE Types.Name = Tasks.Type AND Types.Paused = 1)
   AND (CAST(:full AS NVARCHAR(MAX)) IS NULL OR Tasks.Queue NOT IN ({full_queues}))
   AND NOT EXISTS (
       SELECT 1 FROM OPENJSON(:limits) WITH (InQueue NVARCHAR(100) '$[0]', Most BIGINT '$[1]') AS bound
        WHERE bound.InQueue {exact} = Tasks.Queue AND Tasks.GroupKey IS NOT NULL
          AND bound.Most <= (
              SELECT COUNT(*) FROM Tasks AS running
               WHERE running.Status = 'Processing' AND running.GroupKey IS NOT NULL
                 AND running.Queue = Tasks.Queue AND running.GroupKey = Tasks.GroupKey))
 ORDER BY Tasks.Priority DESC, Tasks.RunAt, Tasks.Id;

-- claim: hand the rows that `due` has found and locked, in the same transaction, to :owner
-- Attempts are counted here; the fence only ever grows.
UPDATE t
   SET Status = 'Processing', Attempts = t.Attempts + 1, Fence = t.Fence + 1, LeaseOwner = :owner,
       LeaseUntil = :until, StartedAt = :now, UpdatedAt = :now
  FROM Tasks AS t
  JOIN OPENJSON(:rows) WITH (Value NVARCHAR(36) '$') AS given ON t.Id = given.Value {exact}
 WHERE t.Status = 'Pending';

-- given_leases = the leases of a parameter, each given as [id, fence]
OPENJSON(:held) WITH (OfId NVARCHAR(36) '$[0]', OfFence BIGINT '$[1]') AS held
    ON t.Id = held.OfId {exact} AND t.Fence = held.OfFence

-- renew: extend the leases that are still held under their fence, each given as [id, fence]
UPDATE t SET LeaseUntil = :until
OUTPUT inserted.Id, inserted.CancelRequested
  FROM Tasks AS t JOIN {given_leases}
 WHERE t.Status = 'Processing';

-- release: give claimed tasks back unharmed, each given as [id, fence]; a cancel asked for is kept
UPDATE t
   SET Status = CASE WHEN t.CancelRequested = 1 THEN 'Cancelled' ELSE 'Pending' END,
       FinishedAt = CASE WHEN t.CancelRequested = 1 THEN CAST(:now AS BIGINT) END,
       Attempts = t.Attempts - 1, LeaseOwner = NULL, LeaseUntil = NULL, UpdatedAt = :now
OUTPUT inserted.Id, inserted.Fence, inserted.Status, inserted.Title
  FROM Tasks AS t JOIN {given_leases}
 WHERE t.Status = 'Processing';
