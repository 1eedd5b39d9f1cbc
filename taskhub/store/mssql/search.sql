-- Searches. `$kind` is a condition on status, type and queue alone, `$where` everything else; both
-- are made of fixed pieces and parameters (conditions.py). A page is the newest :limit that match
-- among the ids from :floor_id up to, and without, :before_id. `$$` is a plain `$` here.

-- wanted = the kinds of rows to look at, as [status, type, queue]
wanted (Status, Type, Queue) AS (
    SELECT one.Status {exact}, one.Type {exact}, one.Queue {exact}
      FROM OPENJSON(:kinds)
           WITH (Status NVARCHAR(10) '$$[0]', Type NVARCHAR(100) '$$[1]',
                 Queue NVARCHAR(100) '$$[2]') AS one
)

-- window = the ids that are looked at
Id < :before_id AND Id >= :floor_id

-- processing = those that run: few, and with an index of their own
SELECT Id FROM Tasks WHERE Status = 'Processing' AND $kind AND {window} AND $where

-- by_kind = the newest of each kind that match: a seek for each, however many do not match
{wanted}, found (Id) AS (
    SELECT one.Id
      FROM wanted
     CROSS APPLY (
           SELECT TOP (:limit) Tasks.Id FROM Tasks
            WHERE Status <> 'Processing' AND Status = wanted.Status AND Type = wanted.Type
              AND Queue = wanted.Queue AND {window} AND $where
            ORDER BY Tasks.Id DESC) AS one
     UNION ALL
    {processing}
)

-- by_id = the newest of all that match, by going through the ids
found (Id) AS (
    SELECT TOP (:limit) Tasks.Id FROM Tasks
     WHERE {window} AND $kind AND $where ORDER BY Tasks.Id DESC
)

-- by_name = those with these ids that match
found (Id) AS (
    SELECT TOP (:limit) Tasks.Id FROM Tasks
     WHERE Id IN (SELECT given.Value {exact}
                    FROM OPENJSON(:ids) WITH (Value NVARCHAR(36) '$$') AS given)
       AND {window} AND $kind AND $where
     ORDER BY Tasks.Id DESC
)

-- marks = fingerprints
OPENJSON(:marks) WITH (Value NVARCHAR(32) '$$') AS mark

-- by_mark = the newest of each of these fingerprints that match
found (Id) AS (
    SELECT one.Id
      FROM {marks}
     CROSS APPLY (
           SELECT TOP (:limit) Tasks.Id FROM Tasks
            WHERE Fingerprint = mark.Value {exact} AND Fingerprint <> ''
              AND {window} AND $kind AND $where
            ORDER BY Tasks.Id DESC) AS one
)

-- names = the ids of what was found
SELECT TOP (:limit) found.Id FROM found ORDER BY found.Id DESC

-- nth = the id of the row that ends a window
ORDER BY t.Id DESC OFFSET :window ROWS FETCH NEXT 1 ROWS ONLY

-- kinds_of: which kinds of rows there are, and which of them are wanted
WITH {kinds}
SELECT TOP (:most) Status, Type, Queue, CASE WHEN $kind THEN 1 ELSE 0 END FROM kinds
OPTION (MAXRECURSION 0);

-- end_by_kind: the id that ends a window of so many rows of each kind (NULL: it reaches the end)
WITH {wanted}
SELECT MAX(last.Id)
  FROM wanted
 CROSS APPLY (SELECT t.Id FROM Tasks AS t
               WHERE t.Status <> 'Processing' AND t.Status = wanted.Status AND t.Type = wanted.Type
                 AND t.Queue = wanted.Queue AND t.Id < :before_id AND t.Id >= :since_id
               {nth}) AS last;

-- end_by_id: the same over all rows
SELECT (SELECT t.Id FROM Tasks AS t WHERE t.Id < :before_id AND t.Id >= :since_id {nth});

-- end_by_mark: the same over the tasks of each fingerprint
SELECT MAX(last.Id)
  FROM {marks}
 CROSS APPLY (SELECT t.Id FROM Tasks AS t
               WHERE t.Fingerprint = mark.Value {exact} AND t.Fingerprint <> ''
                 AND t.Id < :before_id AND t.Id >= :since_id
               {nth}) AS last;

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

-- count_by_kind: how many match, of some kinds
WITH {by_kind} SELECT COUNT(*) FROM found;

-- count_by_id: how many match, of any kind
WITH {by_id} SELECT COUNT(*) FROM found;

-- count_by_name: how many of these ids match
WITH {by_name} SELECT COUNT(*) FROM found;

-- count_by_mark: how many match, of some fingerprints
WITH {by_mark} SELECT COUNT(*) FROM found;
