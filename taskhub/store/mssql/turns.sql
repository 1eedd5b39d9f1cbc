-- Handing out tasks that have a key: keys take turns, and limits hold. All of it is derived from the
-- rows themselves; a claim that finds no such task and has no limits never comes here. Claims that
-- come here are apart from each other until their commit: what they count stays so.

-- any_in_turn: whether there is a task that waits for its turn
SELECT CASE WHEN EXISTS (SELECT 1 FROM Tasks WHERE Status = 'Pending' AND Suspect = 2)
            THEN 1 ELSE 0 END;

-- begins_in_turn = the types, queues and priorities of which tasks wait, and where to begin in each
kinds (OfType, InQueue) AS (
    SELECT jump.Type, jump.Queue
      FROM OPENJSON(:types) WITH (Value NVARCHAR(100) '$') AS wanted
     CROSS APPLY (SELECT TOP (1) t.Type, t.Queue FROM Tasks AS t
                   WHERE t.Status = 'Pending' AND t.Suspect = 2
                     AND t.Type = wanted.Value {exact}
                   ORDER BY t.Queue) AS jump
     UNION ALL
    SELECT kinds.OfType, jump.Queue
      FROM kinds
     CROSS APPLY (SELECT t.Queue, ROW_NUMBER() OVER (ORDER BY t.Queue) AS Number FROM Tasks AS t
                   WHERE t.Status = 'Pending' AND t.Suspect = 2 AND t.Type = kinds.OfType
                     AND t.Queue > kinds.InQueue) AS jump
     WHERE jump.Number = 1
), served (OfType, InQueue, LastKey, MostOfKey, RateOfKey, Since) AS (
    SELECT kinds.OfType, kinds.InQueue,
           COALESCE((SELECT Turns.GroupKey FROM Turns WHERE Turns.Queue = kinds.InQueue), ''),
           bound.Most, bound.Rate, bound.Since
      FROM kinds
      LEFT JOIN OPENJSON(:limits)
           WITH (InQueue NVARCHAR(100) '$[0]', Most BIGINT '$[1]', Rate BIGINT '$[2]',
                 Since BIGINT '$[3]') AS bound ON bound.InQueue {exact} = kinds.InQueue
     WHERE (CAST(:queues AS NVARCHAR(MAX)) IS NULL OR kinds.InQueue IN ({asked_queues}))
       AND NOT EXISTS (SELECT 1 FROM Queues WHERE Queues.Name = kinds.InQueue AND Queues.Paused = 1)
       AND NOT EXISTS (SELECT 1 FROM Types WHERE Types.Name = kinds.OfType AND Types.Paused = 1)
       AND (CAST(:full AS NVARCHAR(MAX)) IS NULL OR kinds.InQueue NOT IN ({full_queues}))
), levels (OfType, InQueue, LastKey, MostOfKey, RateOfKey, Since, AtPriority) AS (
    SELECT served.OfType, served.InQueue, served.LastKey, served.MostOfKey, served.RateOfKey,
           served.Since, jump.Priority
      FROM served
     CROSS APPLY (SELECT TOP (1) t.Priority FROM Tasks AS t
                   WHERE t.Status = 'Pending' AND t.Suspect = 2 AND t.Type = served.OfType
                     AND t.Queue = served.InQueue
                   ORDER BY t.Priority DESC) AS jump
     UNION ALL
    SELECT levels.OfType, levels.InQueue, levels.LastKey, levels.MostOfKey, levels.RateOfKey,
           levels.Since, jump.Priority
      FROM levels
     CROSS APPLY (SELECT t.Priority, ROW_NUMBER() OVER (ORDER BY t.Priority DESC) AS Number
                    FROM Tasks AS t
                   WHERE t.Status = 'Pending' AND t.Suspect = 2 AND t.Type = levels.OfType
                     AND t.Queue = levels.InQueue AND t.Priority < levels.AtPriority) AS jump
     WHERE jump.Number = 1
), begins (OfType, InQueue, LastKey, MostOfKey, RateOfKey, Since, AtPriority, IsRound, FirstKey) AS (
    SELECT levels.OfType, levels.InQueue, levels.LastKey, levels.MostOfKey, levels.RateOfKey,
           levels.Since, levels.AtPriority, 0, levels.LastKey
      FROM levels
     UNION ALL
    SELECT levels.OfType, levels.InQueue, levels.LastKey, levels.MostOfKey, levels.RateOfKey,
           levels.Since, levels.AtPriority, 1, CAST('' AS NVARCHAR(100)) {exact}
      FROM levels
     WHERE levels.LastKey <> ''
)

-- room = how many more tasks of a key may begin
(SELECT MIN(room.Number)
   FROM (SELECT CAST(:limit AS BIGINT) AS Number
          UNION ALL
         SELECT ring.MostOfKey - (SELECT COUNT(*) FROM Tasks AS t
                                   WHERE t.Status = 'Processing' AND t.GroupKey IS NOT NULL
                                     AND t.Queue = ring.InQueue AND t.GroupKey = ring.OfKey)
          WHERE ring.MostOfKey IS NOT NULL
          UNION ALL
         SELECT ring.RateOfKey - (SELECT COALESCE(SUM(CAST(s.Count AS BIGINT)), 0) FROM Starts AS s
                                   WHERE s.Queue = ring.InQueue AND s.GroupKey = ring.OfKey
                                     AND s.At > ring.Since)
          WHERE ring.RateOfKey IS NOT NULL) AS room)

-- is_at_limit = whether no task of a key may begin: as many run, or have begun, as may
-- It says what `room` does without an aggregate, for the recursive part of a CTE has none.
EXISTS (SELECT 1 FROM (SELECT ROW_NUMBER() OVER (ORDER BY t.Id) AS Number FROM Tasks AS t
                        WHERE t.Status = 'Processing' AND t.GroupKey IS NOT NULL
                          AND t.Queue = ring.InQueue AND t.GroupKey = jump.GroupKey) AS running
         WHERE running.Number >= ring.MostOfKey)
OR EXISTS (SELECT 1 FROM (SELECT SUM(CAST(s.Count AS BIGINT)) OVER (ORDER BY s.At) AS Number
                            FROM Starts AS s
                           WHERE s.Queue = ring.InQueue AND s.GroupKey = jump.GroupKey
                             AND s.At > ring.Since) AS begun
            WHERE begun.Number >= ring.RateOfKey)
OR ring.MostOfKey <= 0 OR ring.RateOfKey <= 0

-- due_in_turn: up to :limit due tasks of keys, in the order of their turns, and lock them
-- As in `due`, each step over the index is one seek. `ring` goes from key to key: from the one after
-- that which had the last turn to the last, and from the first to that one, each until :limit of
-- them have something to do (or it has looked at :walk: those that are at their limit are passed
-- over). `line` then takes one task of each key, and another one of each, and so on: turn by turn,
-- priority by priority. A key whose tasks are of several types has one turn, not several.
WITH {begins_in_turn}, ring (OfType, InQueue, LastKey, MostOfKey, RateOfKey, Since, AtPriority, IsRound, OfKey, Seen,
         Found) AS (
    SELECT begins.OfType, begins.InQueue, begins.LastKey, begins.MostOfKey, begins.RateOfKey,
           begins.Since, begins.AtPriority, begins.IsRound, begins.FirstKey, 0, 0
      FROM begins
     UNION ALL
    SELECT ring.OfType, ring.InQueue, ring.LastKey, ring.MostOfKey, ring.RateOfKey, ring.Since,
           ring.AtPriority, ring.IsRound, jump.GroupKey, ring.Seen + 1,
           ring.Found + CASE WHEN jump.RunAt > :now OR {is_at_limit} THEN 0 ELSE 1 END
      FROM ring
     CROSS APPLY (SELECT t.GroupKey, t.RunAt,
                         ROW_NUMBER() OVER (ORDER BY t.GroupKey, t.RunAt) AS Number
                    FROM Tasks AS t
                   WHERE t.Status = 'Pending' AND t.Suspect = 2 AND t.Type = ring.OfType
                     AND t.Queue = ring.InQueue AND t.Priority = ring.AtPriority
                     AND t.GroupKey > ring.OfKey) AS jump
     WHERE jump.Number = 1 AND ring.Seen < :walk AND ring.Found < :limit
       AND (ring.IsRound = 0 OR jump.GroupKey <= ring.LastKey)
), heads (OfType, InQueue, AtPriority, IsRound, OfKey, Room) AS (
    SELECT ring.OfType, ring.InQueue, ring.AtPriority, ring.IsRound, ring.OfKey, {room}
      FROM ring
     WHERE ring.Seen > 0
), line (AtPriority, IsRound, InQueue, OfKey, Room, RowId, DueAt, Turn) AS (
    SELECT heads.AtPriority, heads.IsRound, heads.InQueue, heads.OfKey, heads.Room, following.Id,
           following.RunAt,
           ROW_NUMBER() OVER (PARTITION BY heads.InQueue, heads.AtPriority, heads.OfKey
                              ORDER BY following.RunAt, following.Id) - 1
      FROM heads
     CROSS APPLY (
           SELECT TOP (:limit) t.Id, t.RunAt FROM Tasks AS t
            WHERE t.Status = 'Pending' AND t.Suspect = 2 AND t.Type = heads.OfType
              AND t.Queue = heads.InQueue AND t.Priority = heads.AtPriority
              AND t.GroupKey = heads.OfKey AND t.RunAt <= :now
            ORDER BY t.RunAt, t.Id) AS following
     WHERE heads.Room > 0
)
SELECT TOP (:limit) line.Room, {lease}
  FROM line JOIN Tasks AS Tasks {taking} ON Tasks.Id = line.RowId
 WHERE line.Turn < line.Room AND Tasks.Status = 'Pending' AND Tasks.Suspect = 2
 ORDER BY line.AtPriority DESC, line.Turn, line.IsRound, line.OfKey, line.InQueue, line.DueAt,
          line.RowId
OPTION (MAXRECURSION 0);

-- walked: where `due_in_turn`, if it has found fewer than :limit, has looked at :walk keys of a queue
-- Before so many tasks wait nothing is walked.
WITH {begins_in_turn}, ring (OfType, InQueue, LastKey, AtPriority, IsRound, OfKey, Seen) AS (
    SELECT begins.OfType, begins.InQueue, begins.LastKey, begins.AtPriority, begins.IsRound,
           begins.FirstKey, 0
      FROM begins
     WHERE :walk = (SELECT COUNT(*)
                      FROM (SELECT TOP (:walk) t.Id FROM Tasks AS t
                             WHERE t.Status = 'Pending' AND t.Suspect = 2) AS waiting)
     UNION ALL
    SELECT ring.OfType, ring.InQueue, ring.LastKey, ring.AtPriority, ring.IsRound, jump.GroupKey,
           ring.Seen + 1
      FROM ring
     CROSS APPLY (SELECT t.GroupKey, ROW_NUMBER() OVER (ORDER BY t.GroupKey) AS Number
                    FROM Tasks AS t
                   WHERE t.Status = 'Pending' AND t.Suspect = 2 AND t.Type = ring.OfType
                     AND t.Queue = ring.InQueue AND t.Priority = ring.AtPriority
                     AND t.GroupKey > ring.OfKey) AS jump
     WHERE jump.Number = 1 AND ring.Seen < :walk
       AND (ring.IsRound = 0 OR jump.GroupKey <= ring.LastKey)
)
SELECT ring.InQueue, ring.IsRound, ring.OfKey FROM ring WHERE ring.Seen = :walk
OPTION (MAXRECURSION 0);

-- next_in_turn: as next_due, for the tasks that wait for their turn
WITH lines (Type, Queue, RunAt) AS (
    SELECT jump.Type, jump.Queue, jump.RunAt
      FROM (SELECT TOP (1) t.Type, t.Queue, t.RunAt FROM Tasks AS t
             WHERE t.Status = 'Pending' AND t.Suspect = 2
             ORDER BY t.Type, t.Queue, t.RunAt) AS jump
     UNION ALL
    SELECT jump.Type, jump.Queue, jump.RunAt
      FROM lines
     CROSS APPLY (
        SELECT either.Type, either.Queue, either.RunAt,
               ROW_NUMBER() OVER (ORDER BY either.Step) AS Number
          FROM (SELECT 1 AS Step, t.Type, t.Queue, t.RunAt,
                       ROW_NUMBER() OVER (ORDER BY t.Queue, t.RunAt) AS Number
                  FROM Tasks AS t
                 WHERE t.Status = 'Pending' AND t.Suspect = 2 AND t.Type = lines.Type
                   AND t.Queue > lines.Queue
                 UNION ALL
                SELECT 2, t.Type, t.Queue, t.RunAt,
                       ROW_NUMBER() OVER (ORDER BY t.Type, t.Queue, t.RunAt)
                  FROM Tasks AS t
                 WHERE t.Status = 'Pending' AND t.Suspect = 2 AND t.Type > lines.Type) AS either
         WHERE either.Number = 1) AS jump
     WHERE jump.Number = 1
)
SELECT MIN(lines.RunAt) FROM lines
 WHERE NOT EXISTS (SELECT 1 FROM Queues WHERE Queues.Name = lines.Queue AND Queues.Paused = 1)
   AND NOT EXISTS (SELECT 1 FROM Types WHERE Types.Name = lines.Type AND Types.Paused = 1)
OPTION (MAXRECURSION 0);

-- running_of: how many tasks of these queues run
SELECT Queue, COUNT(*) FROM Tasks
 WHERE Status = 'Processing' AND Queue IN ({asked_queues})
 GROUP BY Queue;

-- started_of: how many of a queue (or key) have begun since
SELECT COALESCE(SUM(CAST(Count AS BIGINT)), 0) FROM Starts
 WHERE Queue = :queue AND GroupKey = :key AND At > :since;

-- begun = slices of starts, each given as [queue, key, at, count]
OPENJSON(:rows) WITH (InQueue NVARCHAR(100) '$[0]', OfKey NVARCHAR(100) '$[1]', AtTime BIGINT '$[2]',
                      Number INTEGER '$[3]') AS new

-- start: count those that begin
UPDATE s SET Count = s.Count + new.Number
  FROM Starts AS s WITH (UPDLOCK, HOLDLOCK)
  JOIN {begun} ON s.Queue = new.InQueue {exact} AND s.GroupKey = new.OfKey {exact}
              AND s.At = new.AtTime;
INSERT INTO Starts (Queue, GroupKey, At, Count)
SELECT new.InQueue, new.OfKey, new.AtTime, new.Number
  FROM {begun}
 WHERE NOT EXISTS (SELECT 1 FROM Starts AS s WITH (UPDLOCK, HOLDLOCK)
                    WHERE s.Queue = new.InQueue {exact} AND s.GroupKey = new.OfKey {exact}
                      AND s.At = new.AtTime);

-- forget_starts: those of a queue that its rate looks at no more
DELETE FROM Starts WHERE Queue = :queue AND GroupKey = '' AND At <= :since;

-- forget_keys: some of those of its keys
DELETE s FROM Starts AS s
  JOIN (SELECT TOP (:limit) o.Queue, o.GroupKey, o.At FROM Starts AS o
         WHERE o.Queue = :queue AND o.At <= :since AND o.GroupKey <> '' ORDER BY o.At) AS old
    ON s.Queue = old.Queue AND s.GroupKey = old.GroupKey AND s.At = old.At;

-- turn: this key of the queue has had the last turn
UPDATE k SET GroupKey = :key, At = :now
  FROM Turns AS k WITH (UPDLOCK, HOLDLOCK) WHERE k.Queue = :queue;
INSERT INTO Turns (Queue, GroupKey, At)
SELECT :queue, :key, :now
 WHERE NOT EXISTS (SELECT 1 FROM Turns AS k WITH (UPDLOCK, HOLDLOCK) WHERE k.Queue = :queue);
