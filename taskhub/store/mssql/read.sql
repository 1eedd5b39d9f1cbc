-- What readers ask. None of it waits for a writer where the database keeps versions of its rows.

-- kinds = every (Status, Type, Queue) that has rows, found by jumping over the index Tasks_Status
kinds (Status, Type, Queue) AS (
    SELECT jump.Status, jump.Type, jump.Queue
      FROM (SELECT TOP (1) t.Status, t.Type, t.Queue FROM Tasks AS t
             WHERE t.Status <> 'Processing' ORDER BY t.Status, t.Type, t.Queue) AS jump
     UNION ALL
    SELECT jump.Status, jump.Type, jump.Queue
      FROM kinds
     CROSS APPLY (
        SELECT either.Status, either.Type, either.Queue,
               ROW_NUMBER() OVER (ORDER BY either.Step) AS Number
          FROM (SELECT 1 AS Step, t.Status, t.Type, t.Queue,
                       ROW_NUMBER() OVER (ORDER BY t.Queue) AS Number
                  FROM Tasks AS t
                 WHERE t.Status <> 'Processing' AND t.Status = kinds.Status AND t.Type = kinds.Type
                   AND t.Queue > kinds.Queue
                 UNION ALL
                SELECT 2, t.Status, t.Type, t.Queue, ROW_NUMBER() OVER (ORDER BY t.Type, t.Queue)
                  FROM Tasks AS t
                 WHERE t.Status <> 'Processing' AND t.Status = kinds.Status AND t.Type > kinds.Type
                 UNION ALL
                SELECT 3, t.Status, t.Type, t.Queue,
                       ROW_NUMBER() OVER (ORDER BY t.Status, t.Type, t.Queue)
                  FROM Tasks AS t
                 WHERE t.Status <> 'Processing' AND t.Status > kinds.Status) AS either
         WHERE either.Number = 1) AS jump
     WHERE jump.Number = 1
)

-- event = the columns of an event in the order in which rows.py reads them
Events.Seq, Events.Type, Events.TaskId, Events.At, Tasks.Title, Tasks.Type AS OfType, Tasks.Queue,
Events.Data

-- reach = the first and the last number of the table; a row of it comes also when nothing was found
SELECT (SELECT MIN(Events.Seq) FROM Events) AS Oldest, (SELECT MAX(Events.Seq) FROM Events) AS Newest

-- events: what has happened after :after, and how far the table reaches; one statement, one moment
SELECT told.*, reach.* FROM ({reach}) AS reach
  LEFT JOIN (SELECT TOP (:limit) {event} FROM Events LEFT JOIN Tasks ON Tasks.Id = Events.TaskId
              WHERE Events.Seq > :after ORDER BY Events.Seq) AS told ON 1 = 1
 ORDER BY told.Seq;

-- history: the same of one task
SELECT told.*, reach.* FROM ({reach}) AS reach
  LEFT JOIN (SELECT TOP (:limit) {event} FROM Events LEFT JOIN Tasks ON Tasks.Id = Events.TaskId
              WHERE Events.TaskId = :task AND Events.Seq > :after
              ORDER BY Events.Seq) AS told ON 1 = 1
 ORDER BY told.Seq;

-- get: the tasks with these ids
SELECT {task} FROM Tasks WHERE Id IN ({ids});

-- attempts: what attempts of a task have failed of, oldest first
SELECT Attempt, StartedAt, EndedAt, Worker, Error, Fingerprint, Exception, Place, Trace
  FROM Attempts WHERE TaskId = :task ORDER BY Fence;

-- held: the task with this id, its newest fence, and who holds it
SELECT {task}, Fence, LeaseOwner FROM Tasks WHERE Id = :id;

-- counts: how many tasks of each queue live, and when the one due longest was due
-- Those that wait are counted to a bound for each type in a queue: a million cost no more than that.
-- `levels` jumps over Tasks_Claim from one priority to the next: each begins with the first due.
WITH {kinds}, levels (Type, Queue, Priority, RunAt) AS (
    SELECT kinds.Type, kinds.Queue, jump.Priority, jump.RunAt
      FROM kinds
     CROSS APPLY (SELECT TOP (1) t.Priority, t.RunAt FROM Tasks AS t
                   WHERE t.Status = 'Pending' AND t.Suspect = 0 AND t.Type = kinds.Type
                     AND t.Queue = kinds.Queue
                   ORDER BY t.Priority DESC, t.RunAt) AS jump
     WHERE kinds.Status = 'Pending'
     UNION ALL
    SELECT levels.Type, levels.Queue, jump.Priority, jump.RunAt
      FROM levels
     CROSS APPLY (SELECT t.Priority, t.RunAt,
                         ROW_NUMBER() OVER (ORDER BY t.Priority DESC, t.RunAt) AS Number
                    FROM Tasks AS t
                   WHERE t.Status = 'Pending' AND t.Suspect = 0 AND t.Type = levels.Type
                     AND t.Queue = levels.Queue AND t.Priority < levels.Priority) AS jump
     WHERE jump.Number = 1
), first_due (Queue, RunAt) AS (
    SELECT due.Queue, MIN(due.RunAt) FROM (
        SELECT levels.Queue, levels.RunAt FROM levels
         UNION ALL
        SELECT t.Queue, t.RunAt FROM Tasks AS t WHERE t.Status = 'Pending' AND t.Suspect = 1
         UNION ALL
        SELECT kinds.Queue, jump.RunAt
          FROM kinds
         CROSS APPLY (SELECT TOP (1) t.RunAt FROM Tasks AS t
                       WHERE t.Status = 'Pending' AND t.Suspect = 2 AND t.Type = kinds.Type
                         AND t.Queue = kinds.Queue
                       ORDER BY t.RunAt) AS jump
         WHERE kinds.Status = 'Pending') AS due
     GROUP BY due.Queue
), waiting (Queue, Number) AS (
    SELECT kinds.Queue, SUM(CAST(counted.Number AS BIGINT))
      FROM kinds
     CROSS APPLY (SELECT COUNT(*) AS Number FROM (
                      SELECT TOP (:most) t.Id FROM Tasks AS t
                       WHERE t.Status <> 'Processing' AND t.Status = 'Pending'
                         AND t.Type = kinds.Type AND t.Queue = kinds.Queue) AS few) AS counted
     WHERE kinds.Status = 'Pending' GROUP BY kinds.Queue
)
SELECT waiting.Queue, 'Pending', waiting.Number, first_due.RunAt
  FROM waiting LEFT JOIN first_due ON first_due.Queue = waiting.Queue
 UNION ALL
SELECT Tasks.Queue, Tasks.Status, COUNT(*), MIN(Tasks.RunAt) FROM Tasks
 WHERE Tasks.Status = 'Processing' GROUP BY Tasks.Queue, Tasks.Status
OPTION (MAXRECURSION 0);

-- wished_cancels: the tasks that run and whose cancel somebody wishes
SELECT Id FROM Tasks WHERE Status = 'Processing' AND CancelRequested = 1;

-- owners: who holds leases now
SELECT DISTINCT LeaseOwner FROM Tasks WHERE Status = 'Processing';

-- types: every type that was registered
SELECT Name, [Schema], RegisteredBy FROM Types ORDER BY Name;

-- types_mark: another text once any type has come, gone or changed; cheap to ask again and again
SELECT STRING_AGG(CAST(CONCAT(Name, ' ', Revision, ' ', RegisteredAt) AS NVARCHAR(MAX)), ',')
       WITHIN GROUP (ORDER BY Name)
  FROM Types;

-- registrations: every type that was registered, or of which tasks wait; and how many do
WITH {kinds}, waiting (Type, Number) AS (
    SELECT kinds.Type, SUM(CAST(counted.Number AS BIGINT))
      FROM kinds
     CROSS APPLY (SELECT COUNT(*) AS Number FROM (
                      SELECT TOP (:limit) t.Id FROM Tasks AS t
                       WHERE t.Status <> 'Processing' AND t.Status = 'Pending'
                         AND t.Type = kinds.Type AND t.Queue = kinds.Queue) AS few) AS counted
     WHERE kinds.Status = 'Pending' GROUP BY kinds.Type)
SELECT Types.Name, Types.[Schema], Types.RegisteredBy, Types.RegisteredAt, Types.SeenAt,
       COALESCE(waiting.Number, 0)
  FROM Types LEFT JOIN waiting ON waiting.Type = Types.Name
 UNION ALL
SELECT waiting.Type, '{}', '', NULL, NULL, waiting.Number FROM waiting
 WHERE waiting.Type NOT IN (SELECT Types.Name FROM Types)
 ORDER BY 1
OPTION (MAXRECURSION 0);

-- next_due: when the first Pending task that waits in no paused queue is due
WITH levels (Type, Queue, Priority, RunAt) AS (
    SELECT jump.Type, jump.Queue, jump.Priority, jump.RunAt
      FROM (SELECT TOP (1) t.Type, t.Queue, t.Priority, t.RunAt FROM Tasks AS t
             WHERE t.Status = 'Pending' AND t.Suspect = 0
             ORDER BY t.Type, t.Queue, t.Priority DESC, t.RunAt) AS jump
     UNION ALL
    SELECT jump.Type, jump.Queue, jump.Priority, jump.RunAt
      FROM levels
     CROSS APPLY (
        SELECT either.Type, either.Queue, either.Priority, either.RunAt,
               ROW_NUMBER() OVER (ORDER BY either.Step) AS Number
          FROM (SELECT 1 AS Step, t.Type, t.Queue, t.Priority, t.RunAt,
                       ROW_NUMBER() OVER (ORDER BY t.Priority DESC, t.RunAt) AS Number
                  FROM Tasks AS t
                 WHERE t.Status = 'Pending' AND t.Suspect = 0 AND t.Type = levels.Type
                   AND t.Queue = levels.Queue AND t.Priority < levels.Priority
                 UNION ALL
                SELECT 2, t.Type, t.Queue, t.Priority, t.RunAt,
                       ROW_NUMBER() OVER (ORDER BY t.Queue, t.Priority DESC, t.RunAt)
                  FROM Tasks AS t
                 WHERE t.Status = 'Pending' AND t.Suspect = 0 AND t.Type = levels.Type
                   AND t.Queue > levels.Queue
                 UNION ALL
                SELECT 3, t.Type, t.Queue, t.Priority, t.RunAt,
                       ROW_NUMBER() OVER (ORDER BY t.Type, t.Queue, t.Priority DESC, t.RunAt)
                  FROM Tasks AS t
                 WHERE t.Status = 'Pending' AND t.Suspect = 0
                   AND t.Type > levels.Type) AS either
         WHERE either.Number = 1) AS jump
     WHERE jump.Number = 1
)
SELECT MIN(waiting.RunAt) FROM (
    SELECT levels.RunAt, levels.Queue, levels.Type FROM levels
     UNION ALL
    SELECT t.RunAt, t.Queue, t.Type FROM Tasks AS t
     WHERE t.Status = 'Pending' AND t.Suspect = 1) AS waiting
 WHERE NOT EXISTS (SELECT 1 FROM Queues WHERE Queues.Name = waiting.Queue AND Queues.Paused = 1)
   AND NOT EXISTS (SELECT 1 FROM Types WHERE Types.Name = waiting.Type AND Types.Paused = 1)
OPTION (MAXRECURSION 0);

-- clock: what time it is here, in microseconds since 1970
SELECT DATEDIFF_BIG(MICROSECOND, '1970-01-01', SYSUTCDATETIME());

-- revision: which schema this is
SELECT version_num FROM alembic_version;

-- webhooks: how far each has come
SELECT Name, Seq FROM Webhooks;
