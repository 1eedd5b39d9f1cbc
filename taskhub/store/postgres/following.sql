-- Tasks that are after others. What follows from an end is decided in the transaction of that end.
-- Several write at once: `standing` keeps the rows that it finds from ending until the commit, and
-- `close` locks the tasks that it names before `decide` looks at them, or two parents that end at the
-- same time would each take the other for one that lives.

-- standing: which of these tasks there are, and how they stand until the commit
SELECT Id, Status FROM Tasks
 WHERE Id IN (SELECT json_array_elements_text(:ids)) ORDER BY Id FOR SHARE;

-- full: those of these tasks for which :most others wait
SELECT given.value FROM json_array_elements_text(:ids) AS given (value)
 WHERE (SELECT count(*) FROM (SELECT 1 FROM Waits
                               WHERE Parent = given.value AND EndedAs IS NULL
                               LIMIT :most) AS counted) >= :most;

-- hold: keep new tasks back, each given as [id, after]
UPDATE Tasks SET Suspect = Suspect + 4, After = held.value ->> 1
  FROM json_array_elements(:held) AS held (value)
 WHERE Tasks.Id = held.value ->> 0;

-- wait: one task is after another
INSERT INTO Waits (TaskId, Place, Parent) VALUES (?, ?, ?);

-- any_waits: whether any task waits for another
SELECT EXISTS (SELECT 1 FROM Waits WHERE EndedAs IS NULL);

-- close: tasks have ended, each given as [id, status]; up to :room that have waited for them, locked
WITH closed AS (
    UPDATE Waits SET EndedAs = found.Status
      FROM (SELECT one.TaskId, one.Place, ended.value ->> 1 AS Status
              FROM json_array_elements(:ended) AS ended (value)
              JOIN Waits AS one ON one.Parent = ended.value ->> 0 AND one.EndedAs IS NULL
             LIMIT :room) AS found
     WHERE Waits.TaskId = found.TaskId AND Waits.Place = found.Place
    RETURNING Waits.TaskId
)
SELECT heir.Id FROM closed JOIN Tasks AS heir ON heir.Id = closed.TaskId
 ORDER BY heir.Id FOR UPDATE OF heir;

-- put_off: ends, each given as [id, status], are left to the next sweep where somebody waits for them
INSERT INTO Unsettled (TaskId, EndedAs)
SELECT DISTINCT ON (one.value ->> 0) one.value ->> 0, one.value ->> 1
  FROM json_array_elements(:ended) AS one (value)
 WHERE EXISTS (SELECT 1 FROM Waits WHERE Parent = one.value ->> 0 AND EndedAs IS NULL)
    ON CONFLICT (TaskId) DO UPDATE SET EndedAs = excluded.EndedAs;

-- take_up: ends of which something was left; what is still too much is put off again
DELETE FROM Unsettled
 WHERE TaskId IN (SELECT TaskId FROM Unsettled ORDER BY TaskId LIMIT :most FOR UPDATE SKIP LOCKED)
RETURNING TaskId, EndedAs;

-- forget_ends: these tasks begin anew, and nothing more follows from how they had ended
DELETE FROM Unsettled WHERE TaskId IN (SELECT json_array_elements_text(:ids));

-- bad = the first parent of the task `heir` that has ended so
SELECT min(Parent) FROM Waits WHERE TaskId = heir.Id AND EndedAs

-- decide: let those begin whose parents have all ended; end those at once that a failure ends
WITH heir (Id, IsStrict) AS (
    SELECT one.Id, one.After LIKE 'fail %'
      FROM json_array_elements_text(:heirs) AS given (value) JOIN Tasks AS one ON one.Id = given.value
     WHERE one.Status = 'Pending' AND one.Suspect >= 4
), decided (Of, Failed, Cancelled, IsFree) AS MATERIALIZED (
    SELECT Id, CASE WHEN IsStrict THEN ({bad} = 'Failed') END,
           CASE WHEN IsStrict THEN ({bad} = 'Cancelled') END,
           NOT EXISTS (SELECT 1 FROM Waits WHERE TaskId = heir.Id AND EndedAs IS NULL)
      FROM heir
)
UPDATE Tasks
   SET Status = CASE WHEN Failed IS NOT NULL THEN 'Failed' WHEN Cancelled IS NOT NULL THEN 'Cancelled'
                     ELSE 'Pending' END,
       FinishedAt = CASE WHEN coalesce(Failed, Cancelled) IS NOT NULL THEN CAST(:now AS bigint) END,
       Error = CASE WHEN Failed IS NOT NULL THEN 'a task that it is after has failed: ' || Failed
                    WHEN Cancelled IS NOT NULL
                    THEN 'a task that it is after was cancelled: ' || Cancelled
                    ELSE Error END,
       Fingerprint = CASE WHEN Failed IS NOT NULL THEN {fingerprint} ELSE Fingerprint END,
       RunAt = CASE WHEN coalesce(Failed, Cancelled) IS NULL THEN greatest(RunAt, CAST(:now AS bigint))
                    ELSE RunAt END,
       Suspect = Suspect - 4, UpdatedAt = :now
  FROM decided
 WHERE Tasks.Id = decided.Of AND (IsFree OR coalesce(Failed, Cancelled) IS NOT NULL)
RETURNING Id, Title, Status, Error, Fingerprint;

-- reopen: tasks begin anew: they wait for parents that live, what has become of others is forgiven
-- As `standing` does, it keeps the parents from ending until the commit: who ends one sees who waits.
WITH parent (Id, Status) AS MATERIALIZED (
    SELECT Id, Status FROM Tasks
     WHERE Id IN (SELECT Parent FROM Waits
                   WHERE TaskId IN (SELECT json_array_elements_text(:ids)))
     ORDER BY Id FOR SHARE
)
UPDATE Waits
   SET EndedAs = CASE WHEN EndedAs = 'Done' THEN 'Done'
                      WHEN NOT EXISTS (SELECT 1 FROM parent WHERE parent.Id = Waits.Parent
                                          AND parent.Status IN ('Pending', 'Processing'))
                      THEN 'Waived' END
 WHERE TaskId IN (SELECT json_array_elements_text(:ids));

-- hold_again: keep back those of them that have parents which live
UPDATE Tasks SET Suspect = Suspect + 4
 WHERE Id IN (SELECT json_array_elements_text(:ids)) AND Status = 'Pending' AND Suspect < 4
   AND EXISTS (SELECT 1 FROM Waits WHERE Waits.TaskId = Tasks.Id AND EndedAs IS NULL);

-- parents: the tasks that some are after, each in its order; of results that are too large only that
SELECT Waits.TaskId, Waits.Parent, one.Status, one.Error,
       CASE WHEN octet_length(one.Result) <= share.Bytes THEN one.Result END,
       coalesce(octet_length(one.Result) > share.Bytes, false)
  FROM (SELECT given.value AS Id,
               least(:each, :all / greatest(1, (SELECT count(*) FROM Waits
                                                 WHERE TaskId = given.value))) AS Bytes
          FROM json_array_elements_text(:tasks) AS given (value)) AS share
  JOIN Waits ON Waits.TaskId = share.Id
  LEFT JOIN Tasks AS one ON one.Id = Waits.Parent
 ORDER BY Waits.TaskId, Waits.Place;

-- children: the tasks that are after one, newest first
SELECT one.Id, one.Title, one.Type, one.Queue, one.Status, one.Error, one.CreatedAt, one.CreatedBy
  FROM Waits JOIN Tasks AS one ON one.Id = Waits.TaskId
 WHERE Waits.Parent = :parent AND Waits.TaskId < :before_id
 ORDER BY Waits.TaskId DESC LIMIT :limit;
