-- Searches. `$kind` is a condition on status, type and queue alone, `$where` everything else; both
-- are made of fixed pieces and parameters (conditions.py). A page is the newest :limit that match
-- among the ids from :floor_id up to, and without, :before_id.

-- wanted = the kinds of rows to look at, as [status, type, queue]
wanted (Status, Type, Queue) AS (
    SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:kinds)
)

-- processing = those that run: few, and with an index of their own
SELECT rowid FROM Tasks INDEXED BY Tasks_Leases
 WHERE Status = 'Processing' AND $kind AND Id < :before_id AND Id >= :floor_id AND $where

-- by_kind = the newest of each kind that match: a seek for each, however many do not match
{wanted}, found (Row) AS (
    SELECT one.rowid
      FROM wanted CROSS JOIN Tasks AS one
        ON one.rowid IN (SELECT rowid FROM Tasks INDEXED BY Tasks_Status
                          WHERE Status <> 'Processing' AND Status = wanted.Status
                            AND Type = wanted.Type AND Queue = wanted.Queue
                            AND Id < :before_id AND Id >= :floor_id AND $where
                          ORDER BY Id DESC LIMIT :limit)
     UNION ALL
    {processing}
)

-- by_id = the newest of all that match, by going through the ids
found (Row) AS (
    SELECT rowid FROM Tasks INDEXED BY sqlite_autoindex_Tasks_1
     WHERE Id < :before_id AND Id >= :floor_id AND $kind AND $where
     ORDER BY Id DESC LIMIT :limit
)

-- by_name = those with these ids that match
found (Row) AS (
    SELECT rowid FROM Tasks INDEXED BY sqlite_autoindex_Tasks_1
     WHERE Id IN (SELECT value FROM json_each(:ids))
       AND +Id < :before_id AND +Id >= :floor_id AND $kind AND $where
     ORDER BY Id DESC LIMIT :limit
)

-- by_mark = the newest of each of these fingerprints that match
found (Row) AS (
    SELECT one.rowid
      FROM json_each(:marks) AS mark CROSS JOIN Tasks AS one
        ON one.rowid IN (SELECT rowid FROM Tasks INDEXED BY Tasks_Fingerprint
                          WHERE Fingerprint = mark.value AND Fingerprint <> ''
                            AND Id < :before_id AND Id >= :floor_id AND $kind AND $where
                          ORDER BY Id DESC LIMIT :limit)
)

-- names = the ids of what was found
SELECT Id FROM Tasks WHERE rowid IN (SELECT Row FROM found) ORDER BY Id DESC LIMIT :limit

-- kinds_of: which kinds of rows there are, and which of them are wanted
WITH RECURSIVE {kinds}
SELECT Status, Type, Queue, $kind FROM kinds LIMIT :most;

-- end_by_kind: the id that ends a window of so many rows of each kind (NULL: it reaches the end)
WITH {wanted}
SELECT max((SELECT Id FROM Tasks INDEXED BY Tasks_Status
             WHERE Status <> 'Processing' AND Status = wanted.Status AND Type = wanted.Type
               AND Queue = wanted.Queue AND Id < :before_id AND Id >= :since_id
             ORDER BY Id DESC LIMIT 1 OFFSET :window))
  FROM wanted;

-- end_by_id: the same over all rows
SELECT (SELECT Id FROM Tasks INDEXED BY sqlite_autoindex_Tasks_1
         WHERE Id < :before_id AND Id >= :since_id ORDER BY Id DESC LIMIT 1 OFFSET :window);

-- end_by_mark: the same over the tasks of each fingerprint
SELECT max((SELECT Id FROM Tasks INDEXED BY Tasks_Fingerprint
             WHERE Fingerprint = mark.value AND Fingerprint <> ''
               AND Id < :before_id AND Id >= :since_id
             ORDER BY Id DESC LIMIT 1 OFFSET :window))
  FROM json_each(:marks) AS mark;

-- one: the task of this id
SELECT {task} FROM Tasks WHERE Id = :id;

-- names_by_kind: the ids of tasks of some kinds
WITH {by_kind} {names};

-- names_by_id: the ids of tasks of any kind
WITH {by_id} {names};

-- names_by_name: those ids that match
WITH {by_name} {names};

-- names_by_mark: the ids of tasks of some fingerprints
WITH {by_mark} {names};

-- count_by_kind: how many match, of some kinds; no order, no limit: the index alone where it can be
WITH {wanted}
SELECT (SELECT count(*)
          FROM wanted CROSS JOIN Tasks INDEXED BY Tasks_Status
            ON Tasks.Status <> 'Processing' AND Tasks.Status = wanted.Status
           AND Tasks.Type = wanted.Type AND Tasks.Queue = wanted.Queue
         WHERE Id < :before_id AND Id >= :floor_id AND $where)
     + (SELECT count(*) FROM ({processing}));

-- count_by_id: how many match, of any kind
WITH {by_id} SELECT count(*) FROM found;

-- count_by_name: how many of these ids match
WITH {by_name} SELECT count(*) FROM found;

-- count_by_mark: how many match, of some fingerprints
WITH {by_mark} SELECT count(*) FROM found;
