-- Making tasks, acts on single tasks, and what is kept beside them.

-- unneeded = no task that lives is after this one
NOT EXISTS (SELECT 1 FROM Waits JOIN Tasks AS heir ON heir.Id = Waits.TaskId
             WHERE Waits.Parent = Tasks.Id AND heir.Status IN ('Pending', 'Processing'))

-- create: one row per new task; what is not named here begins at its default
INSERT INTO Tasks (Id, Title, Type, Queue, Priority, MaxAttempts, TimeoutSeconds, RunAt, CreatedAt,
                   UpdatedAt, CreatedBy, UniqueKey, TraceParent, Payload, Backoff, GroupKey, Suspect)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- numbering: until the commit nobody else gives events their numbers
SELECT pg_advisory_xact_lock(:lock);

-- told: append events in their order, each given as [at, type, task, data]
-- Their numbers follow the last one that was committed: they have no holes, and appear in order.
INSERT INTO Events (Seq, At, Type, TaskId, Data)
SELECT coalesce((SELECT max(Seq) FROM Events), 0) + told.place, (told.value ->> 0)::bigint,
       told.value ->> 1, told.value ->> 2, told.value ->> 3
  FROM json_array_elements(:events) WITH ORDINALITY AS told (value, place);

-- alone: until the commit nobody else decides about what these names stand for
-- A transaction of any size takes 1,024 locks at most: the server has room for some thousands.
SELECT pg_advisory_xact_lock(CAST(:space AS integer), one.slot)
  FROM (SELECT DISTINCT hashtext(named.value) & 1023 AS slot
          FROM json_array_elements_text(:names) AS named (value)
         ORDER BY slot) AS one;

-- together: until the commit nobody is apart by this name
SELECT pg_advisory_xact_lock_shared(hashtextextended(:name, 0));

-- apart: until the commit nobody is together by this name
SELECT pg_advisory_xact_lock(hashtextextended(:name, 0));

-- follow: begin to follow the events for a webhook; one that is followed already stays where it is
INSERT INTO Webhooks (Name, Seq) VALUES (:name, :through) ON CONFLICT (Name) DO NOTHING;

-- forward: move a webhook's cursor, unless somebody else has
UPDATE Webhooks SET Seq = :through WHERE Name = :name AND Seq = :after;

-- known_keys: the living answers among the keys asked for, each given as [principal, key]
SELECT known.Principal, known.Key, known.RequestHash, known.Status, known.Answer
  FROM json_array_elements(:keys) AS asked (value)
  JOIN IdempotencyKeys AS known
    ON known.Principal = asked.value ->> 0 AND known.Key = asked.value ->> 1
 WHERE known.ExpiresAt > :now;

-- keep_key: remember the answer to a key; an expired one makes room
INSERT INTO IdempotencyKeys (Principal, Key, RequestHash, TaskId, ExpiresAt, Status, Answer)
VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (Principal, Key) DO UPDATE
   SET RequestHash = excluded.RequestHash, TaskId = excluded.TaskId,
       ExpiresAt = excluded.ExpiresAt, Status = excluded.Status, Answer = excluded.Answer;

-- holders: the tasks that hold the unique keys asked for, each given as [type, key]
SELECT holding.Type, holding.Key, holding.TaskId
  FROM json_array_elements(:keys) AS asked (value)
  JOIN UniqueKeys AS holding
    ON holding.Type = asked.value ->> 0 AND holding.Key = asked.value ->> 1
  JOIN Tasks ON Tasks.Id = holding.TaskId
 WHERE (holding.ExpiresAt IS NULL OR holding.ExpiresAt > :now)
   AND strpos(holding.States, Tasks.Status) > 0;

-- hold_key: give a unique key to a new task; who held it does so no more
INSERT INTO UniqueKeys (Type, Key, TaskId, ExpiresAt, States) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (Type, Key) DO UPDATE
   SET TaskId = excluded.TaskId, ExpiresAt = excluded.ExpiresAt, States = excluded.States;

-- cancel: end what is Pending, flag what is Processing
UPDATE Tasks
   SET Status = CASE Status WHEN 'Pending' THEN 'Cancelled' ELSE Status END,
       FinishedAt = CASE Status WHEN 'Pending' THEN CAST(:now AS bigint) END,
       CancelRequested = 1, UpdatedAt = :now
 WHERE Id IN (SELECT json_array_elements_text(:ids)) AND Status IN ('Pending', 'Processing')
RETURNING {task};

-- requeue: an operator's retry begins anew; the fence goes on, a suspect stays one
UPDATE Tasks
   SET Status = 'Pending', Attempts = 0, RunAt = :now, CancelRequested = 0, UpdatedAt = :now,
       StartedAt = NULL, FinishedAt = NULL, Progress = NULL, Error = NULL, Result = NULL,
       ResultUntil = NULL, Fingerprint = '', Suspect = Suspect % 4
 WHERE Id IN (SELECT json_array_elements_text(:ids)) AND Status IN ('Failed', 'Cancelled')
RETURNING {task};

-- audit: append to the audit log
INSERT INTO Audit (At, Message, Actor, TaskId, Address, RequestId) VALUES (?, ?, ?, ?, ?, ?);

-- register: make a type known; a pause of it stays, and what our own workers do stays theirs
INSERT INTO Types (Name, Schema, RegisteredBy, RegisteredAt, SeenAt, Revision)
VALUES (?, ?, ?, ?, ?, (SELECT coalesce(max(Revision), 0) + 1 FROM Types))
    ON CONFLICT (Name) DO UPDATE
   SET Schema = excluded.Schema, RegisteredBy = excluded.RegisteredBy,
       RegisteredAt = excluded.RegisteredAt, SeenAt = excluded.SeenAt,
       Revision = excluded.Revision
 WHERE (Types.Schema <> excluded.Schema OR Types.RegisteredBy <> excluded.RegisteredBy)
   AND (Types.RegisteredBy LIKE 'ext:%' OR excluded.RegisteredBy NOT LIKE 'ext:%');

-- seen: a worker does these types now
UPDATE Types SET SeenAt = :now WHERE Name IN (SELECT json_array_elements_text(:names));

-- forget: take a type away
DELETE FROM Types WHERE Name = :name;

-- prune_tasks: delete the oldest ended tasks; ids tell when they were made, so young ones are not read
WITH RECURSIVE {kinds}
DELETE FROM Tasks WHERE Id IN (
    SELECT old.Id
      FROM kinds CROSS JOIN LATERAL (
           SELECT Id FROM Tasks
            WHERE Status <> 'Processing' AND Status = kinds.Status AND Type = kinds.Type
              AND Queue = kinds.Queue AND Id < :before_id AND FinishedAt < :before
              AND {unneeded}
            ORDER BY Id LIMIT :limit) AS old
     WHERE kinds.Status <> 'Pending'
     LIMIT :limit)
   AND Status IN ('Done', 'Failed', 'Cancelled');

-- prune_turns: what nobody has asked for in a while; a rate looks back a day at most
DELETE FROM Turns WHERE Queue IN (SELECT Queue FROM Turns WHERE At < :before LIMIT :limit);

-- prune_starts: the same, of queues where nothing begins any more
DELETE FROM Starts WHERE (Queue, GroupKey, At) IN (
    SELECT Queue, GroupKey, At FROM Starts WHERE At < :before LIMIT :limit);

-- expire_results: empty the results whose time is over; when that was stays on the row
UPDATE Tasks SET Result = NULL, UpdatedAt = :now WHERE Id IN (
    SELECT Id FROM Tasks
     WHERE ResultUntil <= :now AND Result IS NOT NULL AND {unneeded}
     ORDER BY ResultUntil LIMIT :limit);

-- prune_keys: delete answers that nobody may ask for again
DELETE FROM IdempotencyKeys WHERE (Principal, Key) IN (
    SELECT Principal, Key FROM IdempotencyKeys WHERE ExpiresAt <= :now
     ORDER BY ExpiresAt LIMIT :limit);

-- prune_unique_keys: delete those whose time is over
DELETE FROM UniqueKeys WHERE (Type, Key) IN (
    SELECT Type, Key FROM UniqueKeys WHERE ExpiresAt <= :now ORDER BY ExpiresAt LIMIT :limit);

-- prune_events: delete the oldest; the newest stays, for the next Seq counts on from it
DELETE FROM Events WHERE At < :before
   AND Seq IN (SELECT Seq FROM Events ORDER BY Seq LIMIT :limit)
   AND Seq < (SELECT max(Seq) FROM Events);

-- prune_audit: delete the oldest entries; the newest stays
DELETE FROM Audit WHERE At < :before
   AND Id IN (SELECT Id FROM Audit ORDER BY Id LIMIT :limit)
   AND Id < (SELECT max(Id) FROM Audit);
