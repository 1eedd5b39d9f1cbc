-- Handing out tasks that have a key: keys take turns, and limits hold. All of it is derived from the
-- rows themselves; a claim that finds no such task and has no limits never comes here. Claims that
-- come here are apart from each other until their commit: what they count stays so.

-- any_in_turn: whether there is a task that waits for its turn
SELECT EXISTS (SELECT 1 FROM Tasks WHERE Status = 'Pending' AND Suspect = 2);

-- levels_in_turn = the types, queues and priorities of which tasks wait for their turn
kinds (OfType, InQueue) AS (
    SELECT wanted.value,
           (SELECT Queue FROM Tasks
             WHERE Status = 'Pending' AND Suspect = 2 AND Type = wanted.value
             ORDER BY Queue LIMIT 1)
      FROM json_array_elements_text(:types) AS wanted (value)
     UNION ALL
    SELECT OfType,
           (SELECT Queue FROM Tasks
             WHERE Status = 'Pending' AND Suspect = 2 AND Type = OfType AND Queue > InQueue
             ORDER BY Queue LIMIT 1)
      FROM kinds
     WHERE InQueue IS NOT NULL
), served (OfType, InQueue, LastKey, MostOfKey, RateOfKey, Since) AS (
    SELECT OfType, InQueue, coalesce((SELECT GroupKey FROM Turns WHERE Queue = InQueue), ''),
           (bound.value ->> 1)::bigint, (bound.value ->> 2)::bigint, (bound.value ->> 3)::bigint
      FROM kinds LEFT JOIN json_array_elements(:limits) AS bound (value)
                        ON bound.value ->> 0 = InQueue
     WHERE InQueue IS NOT NULL
       AND (CAST(:queues AS json) IS NULL OR InQueue IN (SELECT json_array_elements_text(:queues)))
       AND NOT EXISTS (SELECT 1 FROM Queues WHERE Name = InQueue AND Paused = 1)
       AND NOT EXISTS (SELECT 1 FROM Types WHERE Name = OfType AND Paused = 1)
       AND (CAST(:full AS json) IS NULL
            OR InQueue NOT IN (SELECT json_array_elements_text(:full)))
), levels (OfType, InQueue, LastKey, MostOfKey, RateOfKey, Since, AtPriority) AS (
    SELECT served.*,
           (SELECT Priority FROM Tasks
             WHERE Status = 'Pending' AND Suspect = 2 AND Type = OfType AND Queue = InQueue
             ORDER BY Priority DESC LIMIT 1)
      FROM served
     UNION ALL
    SELECT OfType, InQueue, LastKey, MostOfKey, RateOfKey, Since,
           (SELECT Priority FROM Tasks
             WHERE Status = 'Pending' AND Suspect = 2 AND Type = OfType AND Queue = InQueue
               AND Priority < AtPriority
             ORDER BY Priority DESC LIMIT 1)
      FROM levels
     WHERE AtPriority IS NOT NULL
)

-- of_key = the pending tasks of one key in their order
FROM Tasks
WHERE Status = 'Pending' AND Suspect = 2 AND Type = OfType AND Queue = InQueue
  AND Priority = AtPriority AND GroupKey = OfKey AND RunAt <= :now

-- room = how many more tasks of a key may begin
least(CASE WHEN MostOfKey IS NULL THEN CAST(:limit AS bigint)
           ELSE MostOfKey - (SELECT count(*) FROM Tasks
                              WHERE Status = 'Processing' AND GroupKey IS NOT NULL
                                AND Queue = InQueue AND GroupKey = OfKey) END,
      CASE WHEN RateOfKey IS NULL THEN CAST(:limit AS bigint)
           ELSE RateOfKey - (SELECT coalesce(sum(Count), 0)::bigint FROM Starts
                              WHERE Queue = InQueue AND GroupKey = OfKey AND At > Since) END)

-- due_in_turn: up to :limit due tasks of keys, in the order of their turns, and lock them
-- As in `due`, each step over the index is one seek. `ring` goes from key to key, from the one after
-- that which had the last turn, until :limit of them have something to do (or it has looked at
-- :walk: those that are at their limit are passed over). `line` then takes one task of each key,
-- and another one of each, and so on: turn by turn, priority by priority. A key whose tasks are of
-- several types has one turn, not several.
WITH RECURSIVE {levels_in_turn}, ring (OfType, InQueue, LastKey, MostOfKey, RateOfKey, Since, AtPriority, IsRound, OfKey, Seen,
         Found) AS (
    SELECT levels.*, false, CAST(LastKey AS text), 0, 0 FROM levels WHERE AtPriority IS NOT NULL
     UNION ALL
    SELECT OfType, InQueue, LastKey, MostOfKey, RateOfKey, Since, AtPriority,
           IsRound OR OfKey IS NULL,
           (SELECT CAST(GroupKey AS text) FROM Tasks
             WHERE Status = 'Pending' AND Suspect = 2 AND Type = OfType AND Queue = InQueue
               AND Priority = AtPriority AND GroupKey > coalesce(OfKey, '')
             ORDER BY GroupKey LIMIT 1),
           Seen + 1,
           Found + (Seen > 0 AND OfKey IS NOT NULL AND EXISTS (SELECT 1 {of_key})
                    AND {room} > 0)::int
      FROM ring
     WHERE Seen < :walk AND Found < :limit
       AND CASE WHEN IsRound THEN OfKey <= LastKey ELSE OfKey IS NOT NULL OR LastKey <> '' END
), heads AS MATERIALIZED (
    SELECT OfType, InQueue, AtPriority, IsRound, OfKey, {room} AS Room
      FROM ring
     WHERE Seen > 0 AND OfKey IS NOT NULL AND (NOT IsRound OR OfKey <= LastKey)
), line AS MATERIALIZED (
    SELECT AtPriority, IsRound, InQueue, OfKey, Room, following.Id AS Row, following.RunAt AS DueAt,
           row_number() OVER (PARTITION BY InQueue, AtPriority, OfKey
                              ORDER BY following.RunAt, following.Id) - 1 AS Turn
      FROM heads CROSS JOIN LATERAL (
           SELECT Id, RunAt {of_key} ORDER BY RunAt, Id LIMIT least(Room, :limit)) AS following
     WHERE Room > 0
)
SELECT Room, {lease} FROM line JOIN Tasks ON Tasks.Id = Row
 WHERE Turn < Room AND Tasks.Status = 'Pending' AND Tasks.Suspect = 2
 ORDER BY AtPriority DESC, Turn, IsRound, OfKey, InQueue, DueAt, Row LIMIT :limit
   FOR UPDATE OF Tasks SKIP LOCKED;

-- walked: where `due_in_turn`, if it has found fewer than :limit, has looked at :walk keys of a queue
-- Before so many tasks wait nothing is walked.
WITH RECURSIVE {levels_in_turn}, many (IsMany) AS MATERIALIZED (
    SELECT count(*) = :walk
      FROM (SELECT 1 FROM Tasks WHERE Status = 'Pending' AND Suspect = 2 LIMIT :walk) AS waiting
), ring (OfType, InQueue, LastKey, AtPriority, IsRound, OfKey, Seen) AS (
    SELECT OfType, InQueue, LastKey, AtPriority, false, CAST(LastKey AS text), 0
      FROM levels WHERE AtPriority IS NOT NULL AND (SELECT IsMany FROM many)
     UNION ALL
    SELECT OfType, InQueue, LastKey, AtPriority, IsRound OR OfKey IS NULL,
           (SELECT CAST(GroupKey AS text) FROM Tasks
             WHERE Status = 'Pending' AND Suspect = 2 AND Type = OfType AND Queue = InQueue
               AND Priority = AtPriority AND GroupKey > coalesce(OfKey, '')
             ORDER BY GroupKey LIMIT 1),
           Seen + 1
      FROM ring
     WHERE Seen < :walk
       AND CASE WHEN IsRound THEN OfKey <= LastKey ELSE OfKey IS NOT NULL OR LastKey <> '' END
)
SELECT InQueue, (IsRound OR OfKey IS NULL)::int, coalesce(OfKey, '') FROM ring
 WHERE Seen = :walk AND CASE WHEN IsRound THEN OfKey <= LastKey
                             ELSE OfKey IS NOT NULL OR LastKey <> '' END;

-- next_in_turn: as next_due, for the tasks that wait for their turn
WITH RECURSIVE lines (Type, Queue, RunAt) AS (
    (SELECT Type, Queue, RunAt FROM Tasks
      WHERE Status = 'Pending' AND Suspect = 2 ORDER BY Type, Queue, RunAt LIMIT 1)
     UNION ALL
    SELECT following.Type, following.Queue, following.RunAt
      FROM lines CROSS JOIN LATERAL (
        SELECT coalesce(
            (SELECT Id FROM Tasks
              WHERE Status = 'Pending' AND Suspect = 2 AND Type = lines.Type
                AND Queue > lines.Queue
              ORDER BY Queue, RunAt LIMIT 1),
            (SELECT Id FROM Tasks
              WHERE Status = 'Pending' AND Suspect = 2 AND Type > lines.Type
              ORDER BY Type, Queue, RunAt LIMIT 1)) AS Id) AS jump
      JOIN Tasks AS following ON following.Id = jump.Id
)
SELECT min(RunAt) FROM lines
 WHERE NOT EXISTS (SELECT 1 FROM Queues WHERE Name = lines.Queue AND Paused = 1)
   AND NOT EXISTS (SELECT 1 FROM Types WHERE Name = lines.Type AND Paused = 1);

-- running_of: how many tasks of these queues run
SELECT Queue, count(*) FROM Tasks
 WHERE Status = 'Processing' AND Queue IN (SELECT json_array_elements_text(:queues))
 GROUP BY Queue;

-- started_of: how many of a queue (or key) have begun since
SELECT coalesce(sum(Count), 0)::bigint FROM Starts
 WHERE Queue = :queue AND GroupKey = :key AND At > :since;

-- start: count those that begin
INSERT INTO Starts (Queue, GroupKey, At, Count) VALUES (?, ?, ?, ?)
    ON CONFLICT (Queue, GroupKey, At) DO UPDATE SET Count = Starts.Count + excluded.Count;

-- forget_starts: those of a queue that its rate looks at no more
DELETE FROM Starts WHERE Queue = :queue AND GroupKey = '' AND At <= :since;

-- forget_keys: some of those of its keys
DELETE FROM Starts WHERE (Queue, GroupKey, At) IN (
    SELECT Queue, GroupKey, At FROM Starts
     WHERE Queue = :queue AND At <= :since AND GroupKey <> '' ORDER BY At LIMIT :limit);

-- turn: this key of the queue has had the last turn
INSERT INTO Turns (Queue, GroupKey, At) VALUES (:queue, :key, :now)
    ON CONFLICT (Queue) DO UPDATE SET GroupKey = excluded.GroupKey, At = excluded.At;
