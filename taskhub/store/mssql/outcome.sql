-- What becomes of a running attempt: outcomes and progress, lost leases, dead owners.

-- fingerprint = the mark of what failed so, as the function of this name in failures.py makes it
LEFT(LOWER(CONVERT(VARCHAR(64), HASHBYTES('SHA2_256', CAST(
    (t.Type + NCHAR(10) + CAST(:exception AS NVARCHAR(100)) + NCHAR(10))
    COLLATE LATIN1_GENERAL_100_BIN2_UTF8 AS VARCHAR(900))), 2)), 16)

-- failed: keep what attempts have failed of, before their ends are written
-- Each is given as [id, fence, error, fingerprint, exception, place, trace]. After a wish to cancel
-- nothing counts as a failure. A slot is used again by the fiftieth start that follows: what was in
-- it makes room. The rows are locked, so that what is judged here is still so when their ends are
-- written.
DELETE a FROM Attempts AS a
  JOIN OPENJSON(:failed) WITH (OfId NVARCHAR(36) '$[0]', OfFence BIGINT '$[1]') AS failed
    ON a.TaskId = failed.OfId {exact} AND a.Slot = failed.OfFence % :kept
  JOIN Tasks AS t {keeping} ON t.Id = a.TaskId AND t.Fence = failed.OfFence
 WHERE t.Status = 'Processing' AND t.CancelRequested = 0;
INSERT INTO Attempts (TaskId, Slot, Fence, Attempt, StartedAt, EndedAt, Worker, Error, Fingerprint,
                      Exception, Place, Trace)
SELECT t.Id, t.Fence % :kept, t.Fence, t.Attempts, t.StartedAt, :now, t.LeaseOwner, failed.Error,
       COALESCE(failed.Mark, ''), failed.Exception, failed.Place, failed.Trace
  FROM OPENJSON(:failed)
       WITH (OfId NVARCHAR(36) '$[0]', OfFence BIGINT '$[1]', Error NVARCHAR(MAX) '$[2]',
             Mark NVARCHAR(32) '$[3]', Exception NVARCHAR(100) '$[4]', Place NVARCHAR(200) '$[5]',
             Trace NVARCHAR(MAX) '$[6]') AS failed
  JOIN Tasks AS t {keeping} ON t.Id = failed.OfId {exact} AND t.Fence = failed.OfFence
 WHERE t.Status = 'Processing' AND t.CancelRequested = 0;

-- drop_traces: of failures that are alike the newest has the trace, for all
UPDATE a SET Trace = NULL
  FROM Attempts AS a
  JOIN OPENJSON(:failed)
       WITH (OfId NVARCHAR(36) '$[0]', OfFence BIGINT '$[1]', Mark NVARCHAR(32) '$[3]') AS failed
    ON a.TaskId = failed.OfId {exact} AND a.Fence < failed.OfFence
   AND a.Fingerprint = failed.Mark {exact}
 WHERE a.Trace IS NOT NULL
   AND EXISTS (SELECT 1 FROM Attempts AS newest
                WHERE newest.TaskId = a.TaskId AND newest.Fence = failed.OfFence
                  AND newest.Fingerprint = a.Fingerprint);

-- finish: end attempts as :status, each given as [id, fence, result, error, run_at, fingerprint,
-- until when the result is kept]
-- A cancel that was asked for wins over Pending and Failed; an old fence changes nothing.
UPDATE t
   SET Status = CASE WHEN t.CancelRequested = 1
                          AND CAST(:status AS NVARCHAR(10)) IN ('Pending', 'Failed')
                     THEN 'Cancelled' ELSE CAST(:status AS NVARCHAR(10)) END,
       FinishedAt = CASE WHEN t.CancelRequested = 1 OR CAST(:status AS NVARCHAR(10)) <> 'Pending'
                         THEN CAST(:now AS BIGINT) END,
       RunAt = CASE WHEN CAST(:status AS NVARCHAR(10)) = 'Pending' AND t.CancelRequested = 0
                    THEN COALESCE(ended.RunAt, t.RunAt) ELSE t.RunAt END,
       Result = ended.Result, ResultUntil = ended.ResultUntil, Error = ended.Error,
       Fingerprint = CASE CAST(:status AS NVARCHAR(10)) WHEN 'Done' THEN ''
                          ELSE COALESCE(ended.Mark, '') END,
       Attempts = t.Attempts - :refund,
       Suspect = CASE WHEN CAST(:suspect AS INTEGER) = 1 THEN 1
                      WHEN t.GroupKey IS NULL THEN 0 ELSE 2 END,
       LeaseOwner = NULL, LeaseUntil = NULL, UpdatedAt = :now
OUTPUT inserted.Id, inserted.Fence, inserted.Status, inserted.Title
  FROM Tasks AS t
  JOIN OPENJSON(:ended)
       WITH (OfId NVARCHAR(36) '$[0]', OfFence BIGINT '$[1]', Result NVARCHAR(MAX) '$[2]',
             Error NVARCHAR(MAX) '$[3]', RunAt BIGINT '$[4]', Mark NVARCHAR(32) '$[5]',
             ResultUntil BIGINT '$[6]') AS ended
    ON t.Id = ended.OfId {exact} AND t.Fence = ended.OfFence
 WHERE t.Status = 'Processing';

-- progress: keep what handlers say of themselves, each given as [id, fence, json]
UPDATE t SET Progress = news.Said, UpdatedAt = :now
OUTPUT inserted.Id, inserted.Fence, inserted.Title, inserted.Progress
  FROM Tasks AS t
  JOIN OPENJSON(:news)
       WITH (OfId NVARCHAR(36) '$[0]', OfFence BIGINT '$[1]', Said NVARCHAR(MAX) '$[2]') AS news
    ON t.Id = news.OfId {exact} AND t.Fence = news.OfFence
 WHERE t.Status = 'Processing';

-- sweep: the leases that are over, as [id, whether their handler had begun]
-- Our own only where the handler has ended (an answer was lost); those of owners that live on this
-- host only four leases after the last renewal, for the fence alone protects then; all others at
-- once when they are over. Somebody else's boot says nothing here: hosts are many. What another
-- holds locked is being ended or renewed.
SELECT t.Id, 1 FROM Tasks AS t {taking}
 WHERE t.Status = 'Processing'
   AND ((t.LeaseOwner = :owner AND t.LeaseUntil <= :boottime
         AND t.Id NOT IN (SELECT given.Value {exact}
                            FROM OPENJSON(:held) WITH (Value NVARCHAR(36) '$') AS given))
        OR (t.LeaseOwner <> :owner AND t.LeaseUntil <= :boottime
            AND (t.LeaseUntil + 3 * CAST(:lease AS FLOAT) <= :boottime
                 OR t.LeaseOwner NOT IN (SELECT given.Value {exact}
                                           FROM OPENJSON(:living) WITH (Value NVARCHAR(200) '$')
                                             AS given))))
 ORDER BY t.Id;

-- cancels: which of :owner's tasks somebody wants cancelled
SELECT Id FROM Tasks WHERE Status = 'Processing' AND CancelRequested = 1 AND LeaseOwner = :owner;

-- started = the tasks whose handlers had begun
SELECT given.Value {exact} FROM OPENJSON(:started) WITH (Value NVARCHAR(36) '$') AS given

-- takeover: a dead owner's leases, as [id, whether their handler had begun]
-- :started NULL means that nobody knows what had. One that was a suspect already ran apart: it is
-- blamed only when nothing else had started.
SELECT t.Id, CASE WHEN CAST(:started AS NVARCHAR(MAX)) IS NULL THEN 1
                  WHEN t.Id IN ({started})
                       AND (t.Suspect <> 1 OR NOT EXISTS (
                           SELECT 1 FROM Tasks AS other
                            WHERE other.Status = 'Processing' AND other.LeaseOwner = :owner
                              AND other.Suspect <> 1 AND other.Id IN ({started})))
                  THEN 1 ELSE 0 END
  FROM Tasks AS t {keeping}
 WHERE t.Status = 'Processing' AND t.LeaseOwner = :owner
 ORDER BY t.Id;

-- rows = leases of which each is given as [id, begun]
OPENJSON(:rows) WITH (OfId NVARCHAR(36) '$[0]', Begun INTEGER '$[1]') AS lost

-- lost: keep that attempts have failed with their leases, each given as [id, begun]
DELETE a FROM Attempts AS a JOIN {rows} ON a.TaskId = lost.OfId {exact}
  JOIN Tasks AS t ON t.Id = a.TaskId AND a.Slot = t.Fence % :kept
 WHERE lost.Begun = 1 AND t.CancelRequested = 0;
INSERT INTO Attempts (TaskId, Slot, Fence, Attempt, StartedAt, EndedAt, Worker, Error, Fingerprint,
                      Exception)
SELECT t.Id, t.Fence % :kept, t.Fence, t.Attempts, t.StartedAt, :now, t.LeaseOwner, :error,
       {fingerprint}, :exception
  FROM {rows} JOIN Tasks AS t ON t.Id = lost.OfId {exact}
 WHERE lost.Begun = 1 AND t.CancelRequested = 0;

-- fails = a lease with which the last attempt of a task has failed
lost.Begun = 1 AND t.Attempts >= t.MaxAttempts AND t.CancelRequested = 0

-- free: end leases, each given as [id, begun]: Cancelled if asked for, else Pending or Failed
-- What had not begun goes back for free. What had is blamed: it ends where attempts do, and with
-- :suspect runs apart from now on.
UPDATE t
   SET Status = CASE WHEN t.CancelRequested = 1 THEN 'Cancelled'
                     WHEN lost.Begun = 0 OR t.Attempts < t.MaxAttempts THEN 'Pending'
                     ELSE 'Failed' END,
       FinishedAt = CASE WHEN t.CancelRequested = 1
                           OR (lost.Begun = 1 AND t.Attempts >= t.MaxAttempts)
                         THEN CAST(:now AS BIGINT) END,
       Error = CASE WHEN {fails} THEN CAST(:error AS NVARCHAR(MAX)) ELSE t.Error END,
       Fingerprint = CASE WHEN {fails} THEN {fingerprint} ELSE t.Fingerprint END,
       Attempts = t.Attempts - CASE WHEN lost.Begun = 0 THEN 1 ELSE 0 END,
       Suspect = CASE WHEN lost.Begun = 1 AND CAST(:suspect AS INTEGER) = 1 THEN 1
                      ELSE t.Suspect END,
       LeaseOwner = NULL, LeaseUntil = NULL, UpdatedAt = :now
OUTPUT inserted.Id, inserted.Status, inserted.Title, inserted.Error, inserted.Fingerprint
  FROM Tasks AS t JOIN {rows} ON t.Id = lost.OfId {exact};
