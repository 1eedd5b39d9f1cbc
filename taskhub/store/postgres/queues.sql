-- Queues and types: paused, going, and why a task waits. A claim reads Queues and Types itself.

-- pause_queue: nothing of it is handed out from this transaction on
INSERT INTO Queues (Name, Paused, UpdatedAt, UpdatedBy) VALUES (:name, 1, :now, :by)
    ON CONFLICT (Name) DO UPDATE
   SET Paused = 1, UpdatedAt = excluded.UpdatedAt, UpdatedBy = excluded.UpdatedBy
 WHERE Queues.Paused = 0;

-- resume_queue: it is handed out again
UPDATE Queues SET Paused = 0, UpdatedAt = :now, UpdatedBy = :by WHERE Name = :name AND Paused = 1;

-- pause_type: nothing of it is handed out from this transaction on
UPDATE Types SET Paused = 1 WHERE Name = :name AND Paused = 0;

-- resume_type: it is handed out again
UPDATE Types SET Paused = 0 WHERE Name = :name AND Paused = 1;

-- queue_standing: whether it is paused, and how many of it run
SELECT coalesce((SELECT Paused FROM Queues WHERE Name = :name), 0),
       (SELECT count(*) FROM Tasks WHERE Status = 'Processing' AND Queue = :name);

-- type_standing: the same of a type that is registered
SELECT Paused, (SELECT count(*) FROM Tasks WHERE Status = 'Processing' AND Type = :name)
  FROM Types WHERE Name = :name;

-- pauses: every queue that was ever paused
SELECT Name, Paused FROM Queues ORDER BY Name;

-- circumstances: a task and what is around it, at one moment
-- Those before it are counted up to :most: a position beyond that helps nobody.
SELECT {task}, Suspect % 4, LeaseOwner, LeaseUntil,
       coalesce((SELECT Paused FROM Queues WHERE Name = Tasks.Queue), 0),
       (SELECT Paused FROM Types WHERE Name = Tasks.Type),
       (SELECT SeenAt FROM Types WHERE Name = Tasks.Type),
       CASE WHEN GroupKey IS NOT NULL THEN (SELECT count(*)
          FROM (SELECT 1 FROM Tasks AS Same
                 WHERE Same.Status = 'Pending' AND Same.Suspect = 2
                   AND Same.Type = Tasks.Type AND Same.Queue = Tasks.Queue
                   AND Same.Priority = Tasks.Priority AND Same.GroupKey = Tasks.GroupKey
                   AND (Same.RunAt, Same.Id) < (Tasks.RunAt, Tasks.Id)
                   AND Same.RunAt <= :now LIMIT :most) AS Before)
       ELSE (SELECT count(*)
          FROM (SELECT Urgent.RunAt FROM Tasks AS Urgent
                 WHERE Urgent.Status = 'Pending' AND Urgent.Suspect = 0
                   AND Urgent.Type = Tasks.Type AND Urgent.Queue = Tasks.Queue
                   AND Urgent.Priority > Tasks.Priority LIMIT :most) AS Before
         WHERE RunAt <= :now)
     + (SELECT count(*)
          FROM (SELECT 1 FROM Tasks AS Older
                 WHERE Older.Status = 'Pending' AND Older.Suspect = 0
                   AND Older.Type = Tasks.Type AND Older.Queue = Tasks.Queue
                   AND Older.Priority = Tasks.Priority
                   AND (Older.RunAt, Older.Id) < (Tasks.RunAt, Tasks.Id)
                   AND Older.RunAt <= :now LIMIT :most) AS Before) END,
       (SELECT count(*) FROM Tasks AS Running WHERE Running.Status = 'Processing'),
       (SELECT count(*) FROM Tasks AS Running
         WHERE Running.Status = 'Processing' AND Running.Queue = Tasks.Queue),
       (SELECT coalesce(json_agg(Running.Id ORDER BY Running.Id), '[]')::text
          FROM Tasks AS Running
         WHERE Running.Status = 'Processing' AND Running.GroupKey IS NOT NULL
           AND Running.Queue = Tasks.Queue AND Running.GroupKey = Tasks.GroupKey),
       (SELECT coalesce(sum(Count), 0)::bigint FROM Starts
         WHERE Queue = Tasks.Queue AND GroupKey = '' AND At > :since),
       (SELECT coalesce(sum(Count), 0)::bigint FROM Starts
         WHERE Queue = Tasks.Queue AND GroupKey = Tasks.GroupKey AND At > :key_since),
       (SELECT coalesce(json_agg(Parent ORDER BY Place), '[]')::text FROM Waits
         WHERE TaskId = Tasks.Id AND EndedAs IS NULL AND Tasks.Suspect >= 4)
  FROM Tasks WHERE Id = :id;
