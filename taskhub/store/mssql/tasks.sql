-- Making tasks, acts on single tasks, and what is kept beside them. An upsert is an UPDATE, and an
-- INSERT of what is not there, under locks that keep others from inserting it meanwhile.

-- unneeded = no task that lives is after this one
NOT EXISTS (SELECT 1 FROM Waits JOIN Tasks AS heir ON heir.Id = Waits.TaskId
             WHERE Waits.Parent = t.Id AND heir.Status IN ('Pending', 'Processing'))

-- create: one row per new task; what is not named here begins at its default
INSERT INTO Tasks (Id, Title, Type, Queue, Priority, MaxAttempts, TimeoutSeconds, RunAt, CreatedAt,
                   UpdatedAt, CreatedBy, UniqueKey, TraceParent, Payload, Backoff, GroupKey, Suspect)
SELECT new.Id, new.Title, new.Type, new.Queue, new.Priority, new.MaxAttempts, new.TimeoutSeconds,
       new.RunAt, new.CreatedAt, new.UpdatedAt, new.CreatedBy, new.UniqueKey, new.TraceParent,
       new.Payload, new.Backoff, new.GroupKey, new.Suspect
  FROM OPENJSON(:rows)
       WITH (Id NVARCHAR(MAX) '$[0]', Title NVARCHAR(MAX) '$[1]', Type NVARCHAR(MAX) '$[2]',
             Queue NVARCHAR(MAX) '$[3]', Priority BIGINT '$[4]', MaxAttempts BIGINT '$[5]',
             TimeoutSeconds FLOAT '$[6]', RunAt BIGINT '$[7]', CreatedAt BIGINT '$[8]',
             UpdatedAt BIGINT '$[9]', CreatedBy NVARCHAR(MAX) '$[10]',
             UniqueKey NVARCHAR(MAX) '$[11]', TraceParent NVARCHAR(MAX) '$[12]',
             Payload NVARCHAR(MAX) '$[13]', Backoff NVARCHAR(MAX) '$[14]',
             GroupKey NVARCHAR(MAX) '$[15]', Suspect INTEGER '$[16]') AS new;

-- told: append events in their order, each given as [at, type, task, data, place]
-- Their numbers follow the last one that was committed: they have no holes, and appear in order.
INSERT INTO Events (Seq, At, Type, TaskId, Data)
SELECT (SELECT COALESCE(MAX(Events.Seq), 0) FROM Events) + told.Place + 1, told.At, told.Type,
       told.TaskId, told.Data
  FROM OPENJSON(:rows)
       WITH (At BIGINT '$[0]', Type NVARCHAR(20) '$[1]', TaskId NVARCHAR(36) '$[2]',
             Data NVARCHAR(MAX) '$[3]', Place BIGINT '$[4]') AS told;

-- follow: begin to follow the events for a webhook; one that is followed already stays where it is
INSERT INTO Webhooks (Name, Seq)
SELECT :name, :through
 WHERE NOT EXISTS (SELECT 1 FROM Webhooks AS k WITH (UPDLOCK, HOLDLOCK) WHERE k.Name = :name);

-- forward: move a webhook's cursor, unless somebody else has
UPDATE Webhooks SET Seq = :through WHERE Name = :name AND Seq = :after;

-- same_text = both are the same to the last space, which a comparison leaves out of account
DATALENGTH(k.[Key]) = DATALENGTH(asked.OfKey)

-- known_keys: the living answers among the keys asked for, each given as [principal, key]
SELECT k.Principal, k.[Key], k.RequestHash, k.Status, k.Answer
  FROM OPENJSON(:keys) WITH (OfPrincipal NVARCHAR(200) '$[0]', OfKey NVARCHAR(255) '$[1]') AS asked
  JOIN IdempotencyKeys AS k
    ON k.Principal = asked.OfPrincipal {exact} AND k.[Key] = asked.OfKey {exact} AND {same_text}
 WHERE k.ExpiresAt > :now;

-- kept = keys with their answers, each given as [principal, key, hash, task, expiry, status, answer]
OPENJSON(:rows)
       WITH (OfPrincipal NVARCHAR(200) '$[0]', OfKey NVARCHAR(255) '$[1]', Hash NVARCHAR(128) '$[2]',
             Task NVARCHAR(36) '$[3]', Expires BIGINT '$[4]', Code INTEGER '$[5]',
             Hex NVARCHAR(MAX) '$[6]') AS asked

-- keep_key: remember the answer to a key; an expired one makes room
UPDATE k
   SET RequestHash = asked.Hash, TaskId = asked.Task, ExpiresAt = asked.Expires,
       Status = asked.Code, Answer = CONVERT(VARBINARY(MAX), asked.Hex, 2)
  FROM IdempotencyKeys AS k WITH (UPDLOCK, HOLDLOCK)
  JOIN {kept}
    ON k.Principal = asked.OfPrincipal {exact} AND k.[Key] = asked.OfKey {exact} AND {same_text};
INSERT INTO IdempotencyKeys (Principal, [Key], RequestHash, TaskId, ExpiresAt, Status, Answer)
SELECT asked.OfPrincipal, asked.OfKey, asked.Hash, asked.Task, asked.Expires, asked.Code,
       CONVERT(VARBINARY(MAX), asked.Hex, 2)
  FROM {kept}
 WHERE NOT EXISTS (SELECT 1 FROM IdempotencyKeys AS k WITH (UPDLOCK, HOLDLOCK)
                    WHERE k.Principal = asked.OfPrincipal {exact} AND k.[Key] = asked.OfKey {exact}
                      AND {same_text});

-- holders: the tasks that hold the unique keys asked for, each given as [type, key]
SELECT k.Type, k.[Key], k.TaskId
  FROM OPENJSON(:keys) WITH (OfType NVARCHAR(100) '$[0]', OfKey NVARCHAR(255) '$[1]') AS asked
  JOIN UniqueKeys AS k
    ON k.Type = asked.OfType {exact} AND k.[Key] = asked.OfKey {exact} AND {same_text}
  JOIN Tasks AS t ON t.Id = k.TaskId
 WHERE (k.ExpiresAt IS NULL OR k.ExpiresAt > :now) AND CHARINDEX(t.Status, k.States) > 0;

-- holding = unique keys for new tasks, each given as [type, key, task, expiry, states]
OPENJSON(:rows)
       WITH (OfType NVARCHAR(100) '$[0]', OfKey NVARCHAR(255) '$[1]', Task NVARCHAR(36) '$[2]',
             Expires BIGINT '$[3]', States NVARCHAR(60) '$[4]') AS asked

-- hold_key: give a unique key to a new task; who held it does so no more
UPDATE k
   SET TaskId = asked.Task, ExpiresAt = asked.Expires, States = asked.States
  FROM UniqueKeys AS k WITH (UPDLOCK, HOLDLOCK)
  JOIN {holding}
    ON k.Type = asked.OfType {exact} AND k.[Key] = asked.OfKey {exact} AND {same_text};
INSERT INTO UniqueKeys (Type, [Key], TaskId, ExpiresAt, States)
SELECT asked.OfType, asked.OfKey, asked.Task, asked.Expires, asked.States
  FROM {holding}
 WHERE NOT EXISTS (SELECT 1 FROM UniqueKeys AS k WITH (UPDLOCK, HOLDLOCK)
                    WHERE k.Type = asked.OfType {exact} AND k.[Key] = asked.OfKey {exact}
                      AND {same_text});

-- cancel: end what is Pending, flag what is Processing
UPDATE t
   SET Status = CASE t.Status WHEN 'Pending' THEN 'Cancelled' ELSE t.Status END,
       FinishedAt = CASE t.Status WHEN 'Pending' THEN CAST(:now AS BIGINT) END,
       CancelRequested = 1, UpdatedAt = :now
OUTPUT {changed}
  FROM Tasks AS t
 WHERE t.Id IN ({ids}) AND t.Status IN ('Pending', 'Processing');

-- requeue: an operator's retry begins anew; the fence goes on, a suspect stays one
UPDATE t
   SET Status = 'Pending', Attempts = 0, RunAt = :now, CancelRequested = 0, UpdatedAt = :now,
       StartedAt = NULL, FinishedAt = NULL, Progress = NULL, Error = NULL, Result = NULL,
       ResultUntil = NULL, Fingerprint = '', Suspect = t.Suspect % 4
OUTPUT {changed}
  FROM Tasks AS t
 WHERE t.Id IN ({ids}) AND t.Status IN ('Failed', 'Cancelled');

-- audit: append to the audit log, each given as [at, message, actor, task, address, request, place]
INSERT INTO Audit (At, Message, Actor, TaskId, Address, RequestId)
SELECT one.At, one.Message, one.Actor, one.TaskId, one.Address, one.RequestId
  FROM OPENJSON(:rows)
       WITH (At BIGINT '$[0]', Message NVARCHAR(MAX) '$[1]', Actor NVARCHAR(MAX) '$[2]',
             TaskId NVARCHAR(MAX) '$[3]', Address NVARCHAR(MAX) '$[4]',
             RequestId NVARCHAR(MAX) '$[5]', Place INTEGER '$[6]') AS one
 ORDER BY one.Place;

-- registered = types, each given as [name, schema, by whom, when, seen when]
OPENJSON(:rows)
       WITH (OfName NVARCHAR(100) '$[0]', Said NVARCHAR(MAX) '$[1]', ByWhom NVARCHAR(200) '$[2]',
             AtTime BIGINT '$[3]', Seen BIGINT '$[4]') AS new

-- register: make a type known; a pause of it stays, and what our own workers do stays theirs
UPDATE k
   SET [Schema] = new.Said, RegisteredBy = new.ByWhom, RegisteredAt = new.AtTime,
       SeenAt = new.Seen, Revision = newest.Revision + 1
  FROM Types AS k WITH (UPDLOCK, HOLDLOCK)
  JOIN {registered} ON k.Name = new.OfName {exact}
 CROSS JOIN (SELECT COALESCE(MAX(Types.Revision), 0) AS Revision FROM Types) AS newest
 WHERE (k.[Schema] <> new.Said {exact} OR k.RegisteredBy <> new.ByWhom {exact})
   AND (k.RegisteredBy LIKE 'ext:%' OR new.ByWhom NOT LIKE 'ext:%');
INSERT INTO Types (Name, [Schema], RegisteredBy, RegisteredAt, SeenAt, Revision)
SELECT new.OfName, new.Said, new.ByWhom, new.AtTime, new.Seen,
       (SELECT COALESCE(MAX(Types.Revision), 0) FROM Types) + 1
  FROM {registered}
 WHERE NOT EXISTS (SELECT 1 FROM Types AS k WITH (UPDLOCK, HOLDLOCK)
                    WHERE k.Name = new.OfName {exact});

-- seen: a worker does these types now
UPDATE t SET SeenAt = :now
  FROM Types AS t
  JOIN OPENJSON(:names) WITH (Value NVARCHAR(100) '$') AS given ON t.Name = given.Value {exact};

-- forget: take a type away
DELETE FROM Types WHERE Name = :name;

-- prune_tasks: delete the oldest ended tasks; ids tell when they were made, so young ones are not read
DECLARE @old TABLE (Id NVARCHAR(36) {exact});
SET NOCOUNT ON;
WITH {kinds}
INSERT INTO @old (Id)
SELECT TOP (:limit) one.Id
  FROM kinds
 CROSS APPLY (SELECT TOP (:limit) t.Id FROM Tasks AS t
               WHERE t.Status <> 'Processing' AND t.Status = kinds.Status
                 AND t.Type = kinds.Type AND t.Queue = kinds.Queue AND t.Id < :before_id
                 AND t.FinishedAt < :before AND {unneeded}
               ORDER BY t.Id) AS one
 WHERE kinds.Status <> 'Pending'
OPTION (MAXRECURSION 0);
SET NOCOUNT OFF;
DELETE d FROM Tasks AS d JOIN @old AS old ON d.Id = old.Id
 WHERE d.Status IN ('Done', 'Failed', 'Cancelled');

-- prune_turns: what nobody has asked for in a while; a rate looks back a day at most
DELETE k FROM Turns AS k
  JOIN (SELECT TOP (:limit) o.Queue FROM Turns AS o WHERE o.At < :before) AS old
    ON k.Queue = old.Queue;

-- prune_starts: the same, of queues where nothing begins any more
DELETE s FROM Starts AS s
  JOIN (SELECT TOP (:limit) o.Queue, o.GroupKey, o.At FROM Starts AS o WHERE o.At < :before) AS old
    ON s.Queue = old.Queue AND s.GroupKey = old.GroupKey AND s.At = old.At;

-- expire_results: empty the results whose time is over; when that was stays on the row
UPDATE d SET Result = NULL, UpdatedAt = :now
  FROM Tasks AS d
  JOIN (SELECT TOP (:limit) t.Id FROM Tasks AS t
         WHERE t.ResultUntil IS NOT NULL AND t.ResultUntil <= :now AND t.Result IS NOT NULL
           AND {unneeded}
         ORDER BY t.ResultUntil) AS old ON d.Id = old.Id;

-- prune_keys: delete answers that nobody may ask for again
DELETE k FROM IdempotencyKeys AS k
  JOIN (SELECT TOP (:limit) o.Principal, o.[Key] FROM IdempotencyKeys AS o
         WHERE o.ExpiresAt <= :now ORDER BY o.ExpiresAt) AS old
    ON k.Principal = old.Principal AND k.[Key] = old.[Key];

-- prune_unique_keys: delete those whose time is over
DELETE k FROM UniqueKeys AS k
  JOIN (SELECT TOP (:limit) o.Type, o.[Key] FROM UniqueKeys AS o
         WHERE o.ExpiresAt IS NOT NULL AND o.ExpiresAt <= :now ORDER BY o.ExpiresAt) AS old
    ON k.Type = old.Type AND k.[Key] = old.[Key];

-- prune_events: delete the oldest; the newest stays, for the next Seq counts on from it
DELETE d FROM Events AS d
  JOIN (SELECT TOP (:limit) o.Seq FROM Events AS o ORDER BY o.Seq) AS old ON d.Seq = old.Seq
 WHERE d.At < :before AND d.Seq < (SELECT MAX(Events.Seq) FROM Events);

-- prune_audit: delete the oldest entries; the newest stays
DELETE d FROM Audit AS d
  JOIN (SELECT TOP (:limit) o.Id FROM Audit AS o ORDER BY o.Id) AS old ON d.Id = old.Id
 WHERE d.At < :before AND d.Id < (SELECT MAX(Audit.Id) FROM Audit);
