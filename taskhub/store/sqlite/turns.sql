-- Handing out tasks that have a key: keys take turns, and limits hold. All of it is derived from the
-- rows themselves; a claim that finds no such task and has no limits never comes here.

-- any_in_turn: whether there is a task that waits for its turn
SELECT EXISTS (SELECT 1 FROM Tasks INDEXED BY Tasks_Turns WHERE Status = 'Pending' AND Suspect = 2);

-- of_key = the pending tasks of one key in their order
FROM Tasks INDEXED BY Tasks_Turns
WHERE Status = 'Pending' AND Suspect = 2 AND Type = OfType AND Queue = InQueue
  AND Priority = AtPriority AND GroupKey = OfKey AND RunAt <= :now

-- levels_in_turn = the types, queues and priorities of which tasks wait for their turn
kinds (OfType, InQueue) AS (
    SELECT wanted.value,
           (SELECT Queue FROM Tasks INDEXED BY Tasks_Turns
             WHERE Status = 'Pending' AND Suspect = 2 AND Type = wanted.value
             ORDER BY Queue LIMIT 1)
      FROM json_each(:types) AS wanted
     UNION ALL
    SELECT OfType,
           (SELECT Queue FROM Tasks INDEXED BY Tasks_Turns
             WHERE Status = 'Pending' AND Suspect = 2 AND Type = OfType AND Queue > InQueue
             ORDER BY Queue LIMIT 1)
      FROM kinds
     WHERE InQueue IS NOT NULL
), served (OfType, InQueue, LastKey, MostOfKey, RateOfKey, Since) AS (
    SELECT OfType, InQueue, ifnull((SELECT GroupKey FROM Turns WHERE Queue = InQueue), ''),
           bound.value ->> 1, bound.value ->> 2, bound.value ->> 3
      FROM kinds LEFT JOIN json_each(:limits) AS bound ON bound.value ->> 0 = InQueue
     WHERE InQueue IS NOT NULL
       AND (:queues IS NULL OR InQueue IN (SELECT value FROM json_each(:queues)))
       AND NOT EXISTS (SELECT 1 FROM Queues WHERE Name = InQueue AND Paused)
       AND NOT EXISTS (SELECT 1 FROM Types WHERE Name = OfType AND Paused)
       AND (:full IS NULL OR InQueue NOT IN (SELECT value FROM json_each(:full)))
), levels (OfType, InQueue, LastKey, MostOfKey, RateOfKey, Since, AtPriority) AS (
    SELECT *,
           (SELECT Priority FROM Tasks INDEXED BY Tasks_Turns
             WHERE Status = 'Pending' AND Suspect = 2 AND Type = OfType AND Queue = InQueue
             ORDER BY Priority DESC LIMIT 1)
      FROM served
     UNION ALL
    SELECT OfType, InQueue, LastKey, MostOfKey, RateOfKey, Since,
           (SELECT Priority FROM Tasks INDEXED BY Tasks_Turns
             WHERE Status = 'Pending' AND Suspect = 2 AND Type = OfType AND Queue = InQueue
               AND Priority < AtPriority
             ORDER BY Priority DESC LIMIT 1)
      FROM levels
     WHERE AtPriority IS NOT NULL
)

-- key = the key that a step of `ring` has come to
substr(Head, 20)

-- room = how many more tasks of a key may begin
min(CASE WHEN MostOfKey IS NULL THEN :limit
         ELSE MostOfKey - (SELECT count(*) FROM Tasks INDEXED BY Tasks_Groups
                            WHERE Status = 'Processing' AND GroupKey IS NOT NULL
                              AND Queue = InQueue AND GroupKey = {key}) END,
    CASE WHEN RateOfKey IS NULL THEN :limit
         ELSE RateOfKey - (SELECT ifnull(sum(Count), 0) FROM Starts
                            WHERE Queue = InQueue AND GroupKey = {key} AND At > Since) END)

-- due_in_turn: up to :limit due tasks of keys, in the order of their turns
-- As in `due`, each step over the index is one seek. `ring` goes from key to key, from the one after
-- that which had the last turn, until :limit of them have something to do (or it has looked at
-- :walk: those that are at their limit are passed over). By its one seek a step finds the next key
-- and the first task of it, both in one text: 19 characters of the row's number, negative where it
-- is not due yet, and the key. Where those of the highest priority are `enough`, that is all. Else
-- `line` takes one task of each key, and another one of each, and so on: turn by turn, priority by
-- priority. A key whose tasks are of several types has one turn, not several: only where they are
-- `mixed` must they be numbered.
WITH RECURSIVE {levels_in_turn}, ring (OfType, InQueue, LastKey, MostOfKey, RateOfKey, Since, AtPriority, IsRound, Head, Seen,
         Found) AS (
    SELECT *, 0, '-000000000000000000' || LastKey, 0, 0 FROM levels WHERE AtPriority IS NOT NULL
     UNION ALL
    SELECT OfType, InQueue, LastKey, MostOfKey, RateOfKey, Since, AtPriority,
           IsRound OR Head IS NULL,
           (SELECT (CASE WHEN RunAt <= :now THEN 1 ELSE -1 END * 1000000000000000000 + rowid)
                   || GroupKey
              FROM Tasks INDEXED BY Tasks_Turns
             WHERE Status = 'Pending' AND Suspect = 2 AND Type = OfType AND Queue = InQueue
               AND Priority = AtPriority AND GroupKey > ifnull({key}, '')
             ORDER BY GroupKey, RunAt, Id LIMIT 1),
           Seen + 1,
           Found + (ifnull(Head, '') > '0' AND {room} > 0)
      FROM ring
     WHERE Seen < :walk AND Found < :limit
       AND CASE WHEN IsRound THEN {key} <= LastKey ELSE Head IS NOT NULL OR LastKey <> '' END
), mixed (IsMixed) AS MATERIALIZED (
    SELECT count(*) > count(DISTINCT InQueue || ' ' || AtPriority)
      FROM levels WHERE AtPriority IS NOT NULL
), heads AS MATERIALIZED (
    SELECT OfType, InQueue, AtPriority, IsRound, {key} AS OfKey, {room} AS Room,
           substr(Head, 2, 18) + 0 AS Row
      FROM ring
     WHERE Head > '0' AND (NOT IsRound OR {key} <= LastKey)
), enough (IsEnough) AS MATERIALIZED (
    SELECT NOT IsMixed AND :limit <= (
               SELECT count(*) FROM heads
                WHERE Room > 0
                  AND AtPriority = (SELECT max(AtPriority) FROM heads WHERE Room > 0))
      FROM mixed
), firsts AS (
    SELECT OfType, InQueue, AtPriority, IsRound, OfKey, Room, Row, First.RunAt, First.Id, 0 AS Turn,
           1 AS Stride
      FROM heads CROSS JOIN Tasks AS First ON First.rowid = Row
     WHERE Room > 0 AND NOT (SELECT IsMixed FROM mixed)
     UNION ALL
    SELECT OfType, InQueue, AtPriority, IsRound, OfKey, Room, Row, First.RunAt, First.Id,
           row_number() OVER of_the_key - 1 AS Turn,
           count(*) OVER (of_the_key ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
           AS Stride
      FROM heads CROSS JOIN Tasks AS First ON First.rowid = Row
     WHERE Room > 0 AND (SELECT IsMixed FROM mixed)
    WINDOW of_the_key AS (PARTITION BY InQueue, AtPriority, OfKey ORDER BY First.RunAt, First.Id)
), line (OfType, InQueue, AtPriority, IsRound, OfKey, Room, Row, DueAt, DueId, Turn, Stride) AS (
    SELECT * FROM firsts WHERE Turn < Room AND NOT (SELECT IsEnough FROM enough)
     UNION ALL
    SELECT OfType, InQueue, AtPriority, IsRound, OfKey, Room, following.rowid, following.RunAt,
           following.Id, Turn + Stride, Stride
      FROM line CROSS JOIN Tasks AS following
        ON following.rowid = (SELECT rowid {of_key} AND (RunAt, Id) > (DueAt, DueId)
                               ORDER BY RunAt, Id LIMIT 1)
     WHERE Turn + Stride < Room
     ORDER BY 3 DESC, 10, 4, 5, 2, 8, 9 LIMIT :limit
), chosen (AtPriority, Turn, IsRound, OfKey, InQueue, DueAt, DueId, Room, Row) AS (
    SELECT AtPriority, 0, IsRound, OfKey, InQueue, NULL, NULL, Room, Row
      FROM heads WHERE Room > 0 AND (SELECT IsEnough FROM enough)
     UNION ALL
    SELECT AtPriority, Turn, IsRound, OfKey, InQueue, DueAt, DueId, Room, Row FROM line
     ORDER BY 1 DESC, 2, 3, 4, 5, 6, 7 LIMIT :limit
)
SELECT Room, {lease} FROM chosen CROSS JOIN Tasks ON Tasks.rowid = Row
 ORDER BY AtPriority DESC, Turn, IsRound, OfKey, InQueue, DueAt, DueId;

-- walked: where `due_in_turn`, if it has found fewer than :limit, has looked at :walk keys of a queue
-- Before so many tasks wait nothing is walked.
WITH RECURSIVE {levels_in_turn}, many (IsMany) AS MATERIALIZED (
    SELECT count(*) = :walk
      FROM (SELECT 1 FROM Tasks INDEXED BY Tasks_Turns
             WHERE Status = 'Pending' AND Suspect = 2 LIMIT :walk)
), ring (OfType, InQueue, LastKey, AtPriority, IsRound, OfKey, Seen) AS (
    SELECT OfType, InQueue, LastKey, AtPriority, 0, LastKey, 0
      FROM levels WHERE AtPriority IS NOT NULL AND (SELECT IsMany FROM many)
     UNION ALL
    SELECT OfType, InQueue, LastKey, AtPriority, IsRound OR OfKey IS NULL,
           (SELECT GroupKey FROM Tasks INDEXED BY Tasks_Turns
             WHERE Status = 'Pending' AND Suspect = 2 AND Type = OfType AND Queue = InQueue
               AND Priority = AtPriority AND GroupKey > ifnull(OfKey, '')
             ORDER BY GroupKey LIMIT 1),
           Seen + 1
      FROM ring
     WHERE Seen < :walk
       AND CASE WHEN IsRound THEN OfKey <= LastKey ELSE OfKey IS NOT NULL OR LastKey <> '' END
)
SELECT InQueue, IsRound OR OfKey IS NULL, ifnull(OfKey, '') FROM ring
 WHERE Seen = :walk AND CASE WHEN IsRound THEN OfKey <= LastKey
                             ELSE OfKey IS NOT NULL OR LastKey <> '' END;

-- next_in_turn: as next_due, for the tasks that wait for their turn
WITH RECURSIVE lines (Type, Queue, RunAt) AS (
    SELECT * FROM (SELECT Type, Queue, RunAt FROM Tasks INDEXED BY Tasks_Later
                    WHERE Status = 'Pending' AND Suspect = 2 ORDER BY Type, Queue, RunAt LIMIT 1)
     UNION ALL
    SELECT following.Type, following.Queue, following.RunAt
      FROM lines CROSS JOIN Tasks AS following
        ON following.rowid = coalesce(
            (SELECT rowid FROM Tasks INDEXED BY Tasks_Later
              WHERE Status = 'Pending' AND Suspect = 2 AND Type = lines.Type
                AND Queue > lines.Queue
              ORDER BY Queue, RunAt LIMIT 1),
            (SELECT rowid FROM Tasks INDEXED BY Tasks_Later
              WHERE Status = 'Pending' AND Suspect = 2 AND Type > lines.Type
              ORDER BY Type, Queue, RunAt LIMIT 1))
)
SELECT min(RunAt) FROM lines
 WHERE NOT EXISTS (SELECT 1 FROM Queues WHERE Name = lines.Queue AND Paused)
   AND NOT EXISTS (SELECT 1 FROM Types WHERE Name = lines.Type AND Paused);

-- running_of: how many tasks of these queues run
SELECT Queue, count(*) FROM Tasks INDEXED BY Tasks_Leases
 WHERE Status = 'Processing' AND Queue IN (SELECT value FROM json_each(:queues))
 GROUP BY Queue;

-- started_of: how many of a queue (or key) have begun since
SELECT ifnull(sum(Count), 0) FROM Starts WHERE Queue = :queue AND GroupKey = :key AND At > :since;

-- start: count those that begin
INSERT INTO Starts (Queue, GroupKey, At, Count) VALUES (?, ?, ?, ?)
    ON CONFLICT (Queue, GroupKey, At) DO UPDATE SET Count = Count + excluded.Count;

-- forget_starts: those of a queue that its rate looks at no more
DELETE FROM Starts WHERE Queue = :queue AND GroupKey = '' AND At <= :since;

-- forget_keys: some of those of its keys
DELETE FROM Starts WHERE rowid IN (
    SELECT rowid FROM Starts INDEXED BY Starts_Age
     WHERE Queue = :queue AND At <= :since AND GroupKey <> '' ORDER BY At LIMIT :limit);

-- turn: this key of the queue has had the last turn
INSERT INTO Turns (Queue, GroupKey, At) VALUES (:queue, :key, :now)
    ON CONFLICT (Queue) DO UPDATE SET GroupKey = excluded.GroupKey, At = excluded.At;
