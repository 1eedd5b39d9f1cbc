-- Queues and types: paused, going, and why a task waits. A claim reads Queues and Types itself.

-- pause_queue: nothing of it is handed out from this transaction on
INSERT INTO Queues (Name, Paused, UpdatedAt, UpdatedBy) VALUES (:name, 1, :now, :by)
    ON CONFLICT (Name) DO UPDATE
   SET Paused = 1, UpdatedAt = excluded.UpdatedAt, UpdatedBy = excluded.UpdatedBy
 WHERE NOT Paused;

-- resume_queue: it is handed out again
UPDATE Queues SET Paused = 0, UpdatedAt = :now, UpdatedBy = :by WHERE Name = :name AND Paused;

-- pause_type: nothing of it is handed out from this transaction on
UPDATE Types SET Paused = 1 WHERE Name = :name AND NOT Paused;

-- resume_type: it is handed out again
UPDATE Types SET Paused = 0 WHERE Name = :name AND Paused;

-- queue_standing: whether it is paused, and how many of it run
SELECT ifnull((SELECT Paused FROM Queues WHERE Name = :name), 0),
       (SELECT count(*) FROM Tasks INDEXED BY Tasks_Leases
         WHERE Status = 'Processing' AND Queue = :name);

-- type_standing: the same of a type that is registered
SELECT Paused,
       (SELECT count(*) FROM Tasks INDEXED BY Tasks_Leases
         WHERE Status = 'Processing' AND Type = :name)
  FROM Types WHERE Name = :name;

-- pauses: every queue that was ever paused
SELECT Name, Paused FROM Queues ORDER BY Name;

-- circumstances: a task and what is around it, at one moment
-- Those before it are counted up to :most: a position beyond that helps nobody.
SELECT {task}, Suspect, LeaseOwner, LeaseUntil,
       ifnull((SELECT Paused FROM Queues WHERE Name = Tasks.Queue), 0),
       (SELECT Paused FROM Types WHERE Name = Tasks.Type),
       (SELECT SeenAt FROM Types WHERE Name = Tasks.Type),
       (SELECT count(*)
          FROM (SELECT Urgent.RunAt FROM Tasks AS Urgent INDEXED BY Tasks_Claim
                 WHERE Urgent.Status = 'Pending' AND Urgent.Suspect = 0
                   AND Urgent.Type = Tasks.Type AND Urgent.Queue = Tasks.Queue
                   AND Urgent.Priority > Tasks.Priority LIMIT :most)
         WHERE RunAt <= :now)
     + (SELECT count(*)
          FROM (SELECT 1 FROM Tasks AS Older INDEXED BY Tasks_Claim
                 WHERE Older.Status = 'Pending' AND Older.Suspect = 0
                   AND Older.Type = Tasks.Type AND Older.Queue = Tasks.Queue
                   AND Older.Priority = Tasks.Priority
                   AND (Older.RunAt, Older.Id) < (Tasks.RunAt, Tasks.Id)
                   AND Older.RunAt <= :now LIMIT :most)),
       (SELECT count(*) FROM Tasks AS Running INDEXED BY Tasks_Leases
         WHERE Running.Status = 'Processing')
  FROM Tasks WHERE Id = :id;
