-- Queues and types: paused, going, and why a task waits. A claim reads Queues and Types itself.

-- pause_queue: nothing of it is handed out from this transaction on
UPDATE k SET Paused = 1, UpdatedAt = :now, UpdatedBy = :by
  FROM Queues AS k WITH (UPDLOCK, HOLDLOCK) WHERE k.Name = :name AND k.Paused = 0;
INSERT INTO Queues (Name, Paused, UpdatedAt, UpdatedBy)
SELECT :name, 1, :now, :by
 WHERE NOT EXISTS (SELECT 1 FROM Queues AS k WITH (UPDLOCK, HOLDLOCK) WHERE k.Name = :name);

-- resume_queue: it is handed out again
UPDATE Queues SET Paused = 0, UpdatedAt = :now, UpdatedBy = :by WHERE Name = :name AND Paused = 1;

-- pause_type: nothing of it is handed out from this transaction on
UPDATE Types SET Paused = 1 WHERE Name = :name AND Paused = 0;

-- resume_type: it is handed out again
UPDATE Types SET Paused = 0 WHERE Name = :name AND Paused = 1;

-- queue_standing: whether it is paused, and how many of it run
SELECT COALESCE((SELECT Paused FROM Queues WHERE Name = :name), 0),
       (SELECT COUNT(*) FROM Tasks WHERE Status = 'Processing' AND Queue = :name);

-- type_standing: the same of a type that is registered
SELECT Paused, (SELECT COUNT(*) FROM Tasks WHERE Status = 'Processing' AND Type = :name)
  FROM Types WHERE Name = :name;

-- pauses: every queue that was ever paused
SELECT Name, Paused FROM Queues ORDER BY Name;

-- is_before = of two tasks of one line this one begins first
(o.RunAt < t.RunAt OR (o.RunAt = t.RunAt AND o.Id < t.Id))

-- circumstances: a task and what is around it, at one moment
-- Those before it are counted up to :most: a position beyond that helps nobody.
SELECT {task}, t.Suspect % 4, t.LeaseOwner, t.LeaseUntil,
       COALESCE((SELECT Queues.Paused FROM Queues WHERE Queues.Name = t.Queue), 0),
       (SELECT Types.Paused FROM Types WHERE Types.Name = t.Type),
       (SELECT Types.SeenAt FROM Types WHERE Types.Name = t.Type),
       CASE WHEN t.GroupKey IS NOT NULL THEN (SELECT COUNT(*)
          FROM (SELECT TOP (:most) o.Id FROM Tasks AS o
                 WHERE o.Status = 'Pending' AND o.Suspect = 2
                   AND o.Type = t.Type AND o.Queue = t.Queue AND o.Priority = t.Priority
                   AND o.GroupKey = t.GroupKey AND {is_before} AND o.RunAt <= :now) AS counted)
       ELSE (SELECT COUNT(*)
          FROM (SELECT TOP (:most) o.RunAt FROM Tasks AS o
                 WHERE o.Status = 'Pending' AND o.Suspect = 0
                   AND o.Type = t.Type AND o.Queue = t.Queue
                   AND o.Priority > t.Priority) AS counted
         WHERE counted.RunAt <= :now)
     + (SELECT COUNT(*)
          FROM (SELECT TOP (:most) o.Id FROM Tasks AS o
                 WHERE o.Status = 'Pending' AND o.Suspect = 0
                   AND o.Type = t.Type AND o.Queue = t.Queue AND o.Priority = t.Priority
                   AND {is_before} AND o.RunAt <= :now) AS counted) END,
       (SELECT COUNT(*) FROM Tasks AS o WHERE o.Status = 'Processing'),
       (SELECT COUNT(*) FROM Tasks AS o WHERE o.Status = 'Processing' AND o.Queue = t.Queue),
       (SELECT '[' + COALESCE(STRING_AGG(CAST('"' + o.Id + '"' AS NVARCHAR(MAX)), ',')
                              WITHIN GROUP (ORDER BY o.Id), '') + ']'
          FROM Tasks AS o
         WHERE o.Status = 'Processing' AND o.GroupKey IS NOT NULL
           AND o.Queue = t.Queue AND o.GroupKey = t.GroupKey),
       (SELECT COALESCE(SUM(CAST(s.Count AS BIGINT)), 0) FROM Starts AS s
         WHERE s.Queue = t.Queue AND s.GroupKey = '' AND s.At > :since),
       (SELECT COALESCE(SUM(CAST(s.Count AS BIGINT)), 0) FROM Starts AS s
         WHERE s.Queue = t.Queue AND s.GroupKey = t.GroupKey AND s.At > :key_since),
       (SELECT '[' + COALESCE(STRING_AGG(CAST('"' + w.Parent + '"' AS NVARCHAR(MAX)), ',')
                              WITHIN GROUP (ORDER BY w.Place), '') + ']'
          FROM Waits AS w
         WHERE w.TaskId = t.Id AND w.EndedAs IS NULL AND t.Suspect >= 4)
  FROM Tasks AS t WHERE t.Id = :id;
