-- What readers ask. None of it waits for a writer.

-- kinds = every (Status, Type, Queue) that has rows, found by jumping over the index Tasks_Status
kinds (Status, Type, Queue) AS (
    (SELECT Status, Type, Queue FROM Tasks
      WHERE Status <> 'Processing' ORDER BY Status, Type, Queue LIMIT 1)
     UNION ALL
    SELECT following.Status, following.Type, following.Queue
      FROM kinds CROSS JOIN LATERAL (
        SELECT coalesce(
            (SELECT Id FROM Tasks
              WHERE Status <> 'Processing' AND Status = kinds.Status AND Type = kinds.Type
                AND Queue > kinds.Queue
              ORDER BY Queue LIMIT 1),
            (SELECT Id FROM Tasks
              WHERE Status <> 'Processing' AND Status = kinds.Status AND Type > kinds.Type
              ORDER BY Type, Queue LIMIT 1),
            (SELECT Id FROM Tasks
              WHERE Status <> 'Processing' AND Status > kinds.Status
              ORDER BY Status, Type, Queue LIMIT 1)) AS Id) AS jump
      JOIN Tasks AS following ON following.Id = jump.Id
)

-- event = the columns of an event in the order in which rows.py reads them
Events.Seq, Events.Type, Events.TaskId, Events.At, Tasks.Title, Tasks.Type AS OfType, Tasks.Queue,
Events.Data

-- reach = the first and the last number of the table; a row of it comes also when nothing was found
SELECT (SELECT min(Seq) FROM Events) AS Oldest, (SELECT max(Seq) FROM Events) AS Newest

-- events: what has happened after :after, and how far the table reaches; one statement, one moment
SELECT told.*, reach.* FROM ({reach}) AS reach
  LEFT JOIN (SELECT {event} FROM Events LEFT JOIN Tasks ON Tasks.Id = Events.TaskId
              WHERE Events.Seq > :after ORDER BY Events.Seq LIMIT :limit) AS told ON true
 ORDER BY told.Seq;

-- history: the same of one task
SELECT told.*, reach.* FROM ({reach}) AS reach
  LEFT JOIN (SELECT {event} FROM Events LEFT JOIN Tasks ON Tasks.Id = Events.TaskId
              WHERE Events.TaskId = :task AND Events.Seq > :after
              ORDER BY Events.Seq LIMIT :limit) AS told ON true
 ORDER BY told.Seq;

-- get: the tasks with these ids
SELECT {task} FROM Tasks WHERE Id IN (SELECT json_array_elements_text(:ids));

-- attempts: what attempts of a task have failed of, oldest first
SELECT Attempt, StartedAt, EndedAt, Worker, Error, Fingerprint, Exception, Place, Trace
  FROM Attempts WHERE TaskId = :task ORDER BY Fence;

-- held: the task with this id, its newest fence, and who holds it
SELECT {task}, Fence, LeaseOwner FROM Tasks WHERE Id = :id;

-- counts: how many tasks of each queue live, and when the one due longest was due
-- Those that wait are counted to a bound for each type in a queue: a million cost no more than that.
-- `levels` jumps over Tasks_Claim from one priority to the next: each begins with the first due.
WITH RECURSIVE {kinds},
levels (Type, Queue, Priority, RunAt) AS (
    SELECT kinds.Type, kinds.Queue, following.Priority, following.RunAt
      FROM kinds CROSS JOIN LATERAL (
           SELECT Priority, RunAt FROM Tasks
            WHERE Status = 'Pending' AND Suspect = 0 AND Type = kinds.Type AND Queue = kinds.Queue
            ORDER BY Priority DESC, RunAt LIMIT 1) AS following
     WHERE kinds.Status = 'Pending'
     UNION ALL
    SELECT levels.Type, levels.Queue, following.Priority, following.RunAt
      FROM levels CROSS JOIN LATERAL (
           SELECT Priority, RunAt FROM Tasks
            WHERE Status = 'Pending' AND Suspect = 0 AND Type = levels.Type
              AND Queue = levels.Queue AND Priority < levels.Priority
            ORDER BY Priority DESC, RunAt LIMIT 1) AS following
), first_due (Queue, RunAt) AS (
    SELECT Queue, min(RunAt) FROM (
        SELECT Queue, RunAt FROM levels
         UNION ALL
        SELECT Queue, RunAt FROM Tasks WHERE Status = 'Pending' AND Suspect = 1
         UNION ALL
        SELECT Queue, (SELECT RunAt FROM Tasks
                        WHERE Status = 'Pending' AND Suspect = 2 AND Type = kinds.Type
                          AND Queue = kinds.Queue
                        ORDER BY RunAt LIMIT 1)
          FROM kinds WHERE Status = 'Pending') AS due
     GROUP BY Queue
), waiting (Queue, Number) AS (
    SELECT Queue, sum((SELECT count(*) FROM (
                SELECT 1 FROM Tasks
                 WHERE Status <> 'Processing' AND Status = 'Pending' AND Type = kinds.Type
                   AND Queue = kinds.Queue LIMIT :most) AS counted))::bigint
      FROM kinds WHERE Status = 'Pending' GROUP BY Queue
)
SELECT waiting.Queue, 'Pending', Number, RunAt
  FROM waiting LEFT JOIN first_due ON first_due.Queue = waiting.Queue
 UNION ALL
SELECT Queue, Status, count(*), min(RunAt) FROM Tasks
 WHERE Status = 'Processing' GROUP BY Queue, Status;

-- wished_cancels: the tasks that run and whose cancel somebody wishes
SELECT Id FROM Tasks WHERE Status = 'Processing' AND CancelRequested = 1;

-- owners: who holds leases now
SELECT DISTINCT LeaseOwner FROM Tasks WHERE Status = 'Processing';

-- types: every type that was registered
SELECT Name, Schema, RegisteredBy FROM Types ORDER BY Name;

-- types_mark: another text once any type has come, gone or changed; cheap to ask again and again
SELECT string_agg(Name || ' ' || Revision || ' ' || RegisteredAt, ',' ORDER BY Name) FROM Types;

-- registrations: every type that was registered, or of which tasks wait; and how many do
WITH RECURSIVE {kinds},
waiting (Type, Number) AS (
    SELECT Type, sum((SELECT count(*) FROM (
                SELECT 1 FROM Tasks
                 WHERE Status <> 'Processing' AND Status = 'Pending' AND Type = kinds.Type
                   AND Queue = kinds.Queue LIMIT :limit) AS counted))::bigint
      FROM kinds WHERE Status = 'Pending' GROUP BY Type)
SELECT Name, Schema, RegisteredBy, RegisteredAt, SeenAt, coalesce(Number, 0)
  FROM Types LEFT JOIN waiting ON waiting.Type = Types.Name
 UNION ALL
SELECT Type, '{}', '', NULL, NULL, Number FROM waiting
 WHERE Type NOT IN (SELECT Name FROM Types)
 ORDER BY 1;

-- next_due: when the first Pending task that waits in no paused queue is due
WITH RECURSIVE levels (Type, Queue, Priority, RunAt) AS (
    (SELECT Type, Queue, Priority, RunAt FROM Tasks
      WHERE Status = 'Pending' AND Suspect = 0
      ORDER BY Type, Queue, Priority DESC, RunAt LIMIT 1)
     UNION ALL
    SELECT following.Type, following.Queue, following.Priority, following.RunAt
      FROM levels CROSS JOIN LATERAL (
        SELECT coalesce(
            (SELECT Id FROM Tasks
              WHERE Status = 'Pending' AND Suspect = 0 AND Type = levels.Type
                AND Queue = levels.Queue AND Priority < levels.Priority
              ORDER BY Priority DESC, RunAt LIMIT 1),
            (SELECT Id FROM Tasks
              WHERE Status = 'Pending' AND Suspect = 0 AND Type = levels.Type
                AND Queue > levels.Queue
              ORDER BY Queue, Priority DESC, RunAt LIMIT 1),
            (SELECT Id FROM Tasks
              WHERE Status = 'Pending' AND Suspect = 0 AND Type > levels.Type
              ORDER BY Type, Queue, Priority DESC, RunAt LIMIT 1)) AS Id) AS jump
      JOIN Tasks AS following ON following.Id = jump.Id
)
SELECT min(RunAt) FROM (
    SELECT RunAt, Queue, Type FROM levels
     UNION ALL
    SELECT RunAt, Queue, Type FROM Tasks WHERE Status = 'Pending' AND Suspect = 1) AS waiting
 WHERE NOT EXISTS (SELECT 1 FROM Queues WHERE Name = waiting.Queue AND Paused = 1)
   AND NOT EXISTS (SELECT 1 FROM Types WHERE Name = waiting.Type AND Paused = 1);

-- clock: what time it is here, in microseconds since 1970
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;

-- revision: which schema this is
SELECT version_num FROM alembic_version;

-- webhooks: how far each has come
SELECT Name, Seq FROM Webhooks;
