-- Tasks that are after others. What follows from an end is decided in the transaction of that end.
-- Several write at once: `standing` keeps the rows that it finds from ending until the commit, and
-- `close` locks the tasks that it names before `decide` looks at them, or two parents that end at the
-- same time would each take the other for one that lives.

-- standing: which of these tasks there are, and how they stand until the commit
SELECT t.Id, t.Status FROM Tasks AS t WITH (ROWLOCK, REPEATABLEREAD)
 WHERE t.Id IN ({ids}) ORDER BY t.Id;

-- full: those of these tasks for which :most others wait
SELECT given.Value FROM OPENJSON(:ids) WITH (Value NVARCHAR(36) '$') AS given
 WHERE (SELECT COUNT(*) FROM (SELECT TOP (:most) w.TaskId FROM Waits AS w
                               WHERE w.Parent = given.Value {exact} AND w.EndedAs IS NULL)
                          AS counted) >= :most;

-- hold: keep new tasks back, each given as [id, after]
UPDATE t SET Suspect = t.Suspect + 4, After = held.Said
  FROM Tasks AS t
  JOIN OPENJSON(:held) WITH (OfId NVARCHAR(36) '$[0]', Said NVARCHAR(MAX) '$[1]') AS held
    ON t.Id = held.OfId {exact};

-- wait: one task is after another, each given as [id, place, parent]
INSERT INTO Waits (TaskId, Place, Parent)
SELECT one.TaskId, one.Place, one.Parent
  FROM OPENJSON(:rows)
       WITH (TaskId NVARCHAR(36) '$[0]', Place INTEGER '$[1]', Parent NVARCHAR(36) '$[2]') AS one;

-- any_waits: whether any task waits for another
SELECT CASE WHEN EXISTS (SELECT 1 FROM Waits WHERE EndedAs IS NULL) THEN 1 ELSE 0 END;

-- ended = ends, each given as [id, status]
OPENJSON(:ended) WITH (OfId NVARCHAR(36) '$[0]', EndedAs NVARCHAR(10) '$[1]') AS ended

-- close: tasks have ended, each given as [id, status]; up to :room that have waited for them, locked
DECLARE @closed TABLE (TaskId NVARCHAR(36) {exact}, Place INTEGER);
UPDATE w SET EndedAs = found.EndedAs
OUTPUT inserted.TaskId, inserted.Place INTO @closed
  FROM Waits AS w
  JOIN (SELECT TOP (:room) one.TaskId, one.Place, ended.EndedAs
          FROM {ended} JOIN Waits AS one
            ON one.Parent = ended.OfId {exact} AND one.EndedAs IS NULL) AS found
    ON w.TaskId = found.TaskId AND w.Place = found.Place;
SELECT t.Id FROM @closed AS c JOIN Tasks AS t {keeping} ON t.Id = c.TaskId
 ORDER BY t.Id;

-- put_off: ends, each given as [id, status], are left to the next sweep where somebody waits for them
UPDATE k SET EndedAs = ended.EndedAs
  FROM Unsettled AS k WITH (UPDLOCK, HOLDLOCK) JOIN {ended} ON k.TaskId = ended.OfId {exact}
 WHERE EXISTS (SELECT 1 FROM Waits AS w WHERE w.Parent = k.TaskId AND w.EndedAs IS NULL);
INSERT INTO Unsettled (TaskId, EndedAs)
SELECT ended.OfId, MIN(ended.EndedAs)
  FROM {ended}
 WHERE EXISTS (SELECT 1 FROM Waits AS w WHERE w.Parent = ended.OfId {exact} AND w.EndedAs IS NULL)
   AND NOT EXISTS (SELECT 1 FROM Unsettled AS k WITH (UPDLOCK, HOLDLOCK)
                    WHERE k.TaskId = ended.OfId {exact})
 GROUP BY ended.OfId;

-- take_up: ends of which something was left; what is still too much is put off again
DELETE k
OUTPUT deleted.TaskId, deleted.EndedAs
  FROM Unsettled AS k
  JOIN (SELECT TOP (:most) o.TaskId FROM Unsettled AS o {taking} ORDER BY o.TaskId) AS old
    ON k.TaskId = old.TaskId;

-- forget_ends: these tasks begin anew, and nothing more follows from how they had ended
DELETE FROM Unsettled WHERE TaskId IN ({ids});

-- decide: let those begin whose parents have all ended; end those at once that a failure ends
UPDATE t
   SET Status = CASE WHEN decided.Failed IS NOT NULL THEN 'Failed'
                     WHEN decided.Cancelled IS NOT NULL THEN 'Cancelled' ELSE 'Pending' END,
       FinishedAt = CASE WHEN COALESCE(decided.Failed, decided.Cancelled) IS NOT NULL
                         THEN CAST(:now AS BIGINT) END,
       Error = CASE WHEN decided.Failed IS NOT NULL
                    THEN 'a task that it is after has failed: ' + decided.Failed
                    WHEN decided.Cancelled IS NOT NULL
                    THEN 'a task that it is after was cancelled: ' + decided.Cancelled
                    ELSE t.Error END,
       Fingerprint = CASE WHEN decided.Failed IS NOT NULL THEN {fingerprint} ELSE t.Fingerprint END,
       RunAt = CASE WHEN COALESCE(decided.Failed, decided.Cancelled) IS NULL AND t.RunAt < :now
                    THEN CAST(:now AS BIGINT) ELSE t.RunAt END,
       Suspect = t.Suspect - 4, UpdatedAt = :now
OUTPUT inserted.Id, inserted.Title, inserted.Status, inserted.Error, inserted.Fingerprint
  FROM Tasks AS t
  JOIN (SELECT one.Id,
               CASE WHEN one.After LIKE 'fail %'
                    THEN (SELECT MIN(w.Parent) FROM Waits AS w
                           WHERE w.TaskId = one.Id AND w.EndedAs = 'Failed') END AS Failed,
               CASE WHEN one.After LIKE 'fail %'
                    THEN (SELECT MIN(w.Parent) FROM Waits AS w
                           WHERE w.TaskId = one.Id AND w.EndedAs = 'Cancelled') END AS Cancelled,
               CASE WHEN EXISTS (SELECT 1 FROM Waits AS w
                                  WHERE w.TaskId = one.Id AND w.EndedAs IS NULL)
                    THEN 0 ELSE 1 END AS IsFree
          FROM OPENJSON(:heirs) WITH (Value NVARCHAR(36) '$') AS given
          JOIN Tasks AS one ON one.Id = given.Value {exact}
         WHERE one.Status = 'Pending' AND one.Suspect >= 4) AS decided ON t.Id = decided.Id
 WHERE decided.IsFree = 1 OR COALESCE(decided.Failed, decided.Cancelled) IS NOT NULL;

-- reopen: tasks begin anew: they wait for parents that live, what has become of others is forgiven
-- As `standing` does, it keeps the parents from ending until the commit: who ends one sees who waits.
UPDATE w
   SET EndedAs = CASE WHEN w.EndedAs = 'Done' THEN 'Done'
                      WHEN NOT EXISTS (SELECT 1 FROM Tasks AS t WITH (ROWLOCK, REPEATABLEREAD)
                                        WHERE t.Id = w.Parent
                                          AND t.Status IN ('Pending', 'Processing'))
                      THEN 'Waived' END
  FROM Waits AS w
 WHERE w.TaskId IN ({ids});

-- hold_again: keep back those of them that have parents which live
UPDATE t SET Suspect = t.Suspect + 4
  FROM Tasks AS t
 WHERE t.Id IN ({ids}) AND t.Status = 'Pending' AND t.Suspect < 4
   AND EXISTS (SELECT 1 FROM Waits AS w WHERE w.TaskId = t.Id AND w.EndedAs IS NULL);

-- bytes = how long a result is
DATALENGTH(CAST(one.Result COLLATE LATIN1_GENERAL_100_BIN2_UTF8 AS VARCHAR(MAX)))

-- parents: the tasks that some are after, each in its order; of results that are too large only that
SELECT w.TaskId, w.Parent, one.Status, one.Error,
       CASE WHEN {bytes} <= share.Bytes THEN one.Result END,
       CASE WHEN {bytes} > share.Bytes THEN 1 ELSE 0 END
  FROM (SELECT given.Value {exact} AS Id,
               CASE WHEN :each * counted.Number > :all THEN :all / counted.Number
                    ELSE :each END AS Bytes
          FROM OPENJSON(:tasks) WITH (Value NVARCHAR(36) '$') AS given
         CROSS APPLY (SELECT COUNT(*) AS Number FROM Waits AS all_of
                       WHERE all_of.TaskId = given.Value {exact}) AS counted) AS share
  JOIN Waits AS w ON w.TaskId = share.Id
  LEFT JOIN Tasks AS one ON one.Id = w.Parent
 ORDER BY w.TaskId, w.Place;

-- children: the tasks that are after one, newest first
SELECT TOP (:limit) one.Id, one.Title, one.Type, one.Queue, one.Status, one.Error, one.CreatedAt,
       one.CreatedBy
  FROM Waits AS w JOIN Tasks AS one ON one.Id = w.TaskId
 WHERE w.Parent = :parent AND w.TaskId < :before_id
 ORDER BY w.TaskId DESC;
