-- What becomes of a running attempt: outcomes and progress, lost leases, dead owners.

-- failed: keep what attempts have failed of, before their ends are written
-- Each is given as [id, fence, error, fingerprint, exception, place, trace]. After a wish to cancel
-- nothing counts as a failure. A slot is used again by the fiftieth start that follows.
INSERT OR REPLACE INTO Attempts (TaskId, Slot, Fence, Attempt, StartedAt, EndedAt, Worker, Error,
                                 Fingerprint, Exception, Place, Trace)
SELECT Tasks.Id, Fence % :kept, Fence, Attempts, StartedAt, :now, LeaseOwner, failed.value ->> 2,
       coalesce(failed.value ->> 3, ''), failed.value ->> 4, failed.value ->> 5, failed.value ->> 6
  FROM json_each(:failed) AS failed CROSS JOIN Tasks
    ON Tasks.Id = failed.value ->> 0 AND Tasks.Fence = failed.value ->> 1
 WHERE Tasks.Status = 'Processing' AND NOT CancelRequested;

-- drop_traces: of failures that are alike the newest has the trace, for all
UPDATE Attempts SET Trace = NULL
  FROM json_each(:failed) AS failed
 WHERE Attempts.TaskId = failed.value ->> 0 AND Attempts.Fence < failed.value ->> 1
   AND Attempts.Fingerprint = failed.value ->> 3 AND Attempts.Trace IS NOT NULL
   AND EXISTS (SELECT 1 FROM Attempts AS Newest
                WHERE Newest.TaskId = failed.value ->> 0 AND Newest.Fence = failed.value ->> 1
                  AND Newest.Fingerprint = Attempts.Fingerprint);

-- finish: end attempts as :status, each given as [id, fence, result, error, run_at, fingerprint,
-- until when the result is kept]
-- A cancel that was asked for wins over Pending and Failed; an old fence changes nothing.
UPDATE Tasks
   SET Status = CASE WHEN CancelRequested AND :status IN ('Pending', 'Failed')
                     THEN 'Cancelled' ELSE :status END,
       FinishedAt = CASE WHEN CancelRequested OR :status <> 'Pending' THEN :now END,
       RunAt = CASE WHEN :status = 'Pending' AND NOT CancelRequested
                    THEN coalesce(ended.value ->> 4, RunAt) ELSE RunAt END,
       Result = ended.value ->> 2, ResultUntil = ended.value ->> 6, Error = ended.value ->> 3,
       Fingerprint = CASE :status WHEN 'Done' THEN '' ELSE coalesce(ended.value ->> 5, '') END,
       Attempts = Attempts - :refund,
       Suspect = CASE WHEN :suspect THEN 1 WHEN GroupKey IS NULL THEN 0 ELSE 2 END,
       LeaseOwner = NULL, LeaseUntil = NULL, UpdatedAt = :now
  FROM json_each(:ended) AS ended
 WHERE Tasks.Id = ended.value ->> 0 AND Tasks.Fence = ended.value ->> 1
   AND Tasks.Status = 'Processing'
RETURNING Id, Fence, Status, Title;

-- progress: keep what handlers say of themselves, each given as [id, fence, json]
UPDATE Tasks SET Progress = news.value ->> 2, UpdatedAt = :now
  FROM json_each(:news) AS news
 WHERE Tasks.Id = news.value ->> 0 AND Tasks.Fence = news.value ->> 1
   AND Tasks.Status = 'Processing'
RETURNING Id, Fence, Title, Progress;

-- sweep: the leases that are over, as [rowid, whether their handler had begun]
-- Our own only where the handler has ended (an answer was lost); those of owners that live on this
-- host only four leases after the last renewal, for the fence alone protects then; all others at
-- once, and those of another boot of this host too, whatever their clock said.
SELECT rowid, 1 FROM Tasks INDEXED BY Tasks_Leases
 WHERE Status = 'Processing'
   AND CASE WHEN LeaseOwner = :owner
            THEN LeaseUntil <= :boottime AND Id NOT IN (SELECT value FROM json_each(:held))
            WHEN substr(LeaseOwner, 1, length(:boot)) <> :boot THEN 1
            WHEN LeaseOwner IN (SELECT value FROM json_each(:living))
            THEN LeaseUntil + 3 * :lease <= :boottime
            ELSE LeaseUntil <= :boottime END;

-- cancels: which of :owner's tasks somebody wants cancelled
SELECT Id FROM Tasks INDEXED BY Tasks_Leases
 WHERE Status = 'Processing' AND CancelRequested = 1 AND LeaseOwner = :owner;

-- takeover: a dead owner's leases, as [rowid, whether their handler had begun]
-- :started NULL means that nobody knows what had. One that was a suspect already ran apart: it is
-- blamed only when nothing else had started.
SELECT rowid, :started IS NULL OR (Id IN (SELECT value FROM json_each(:started))
              AND (Suspect <> 1 OR NOT EXISTS (
                  SELECT 1 FROM Tasks AS Other INDEXED BY Tasks_Leases
                   WHERE Other.Status = 'Processing' AND Other.LeaseOwner = :owner
                     AND Other.Suspect <> 1
                     AND Other.Id IN (SELECT value FROM json_each(:started)))))
  FROM Tasks INDEXED BY Tasks_Leases
 WHERE Status = 'Processing' AND LeaseOwner = :owner;

-- lost: keep that attempts have failed with their leases, each given as [rowid, begun]
INSERT OR REPLACE INTO Attempts (TaskId, Slot, Fence, Attempt, StartedAt, EndedAt, Worker, Error,
                                 Fingerprint, Exception)
SELECT Tasks.Id, Fence % :kept, Fence, Attempts, StartedAt, :now, LeaseOwner, :error,
       fingerprint(Tasks.Type, :exception, ''), :exception
  FROM json_each(:rows) AS lost CROSS JOIN Tasks ON Tasks.rowid = lost.value ->> 0
 WHERE lost.value ->> 1 AND NOT CancelRequested;

-- free: end leases, each given as [rowid, begun]: Cancelled if asked for, else Pending or Failed
-- What had not begun goes back for free. What had is blamed: it ends where attempts do, and with
-- :suspect runs apart from now on.
UPDATE Tasks
   SET Status = CASE WHEN CancelRequested THEN 'Cancelled'
                     WHEN NOT lost.value ->> 1 OR Attempts < MaxAttempts THEN 'Pending'
                     ELSE 'Failed' END,
       FinishedAt = CASE WHEN CancelRequested OR (lost.value ->> 1 AND Attempts >= MaxAttempts)
                         THEN :now END,
       Error = CASE WHEN lost.value ->> 1 AND Attempts >= MaxAttempts AND NOT CancelRequested
                    THEN :error ELSE Error END,
       Fingerprint = CASE WHEN lost.value ->> 1 AND Attempts >= MaxAttempts
                               AND NOT CancelRequested
                          THEN fingerprint(Tasks.Type, :exception, '') ELSE Fingerprint END,
       Attempts = Attempts - NOT (lost.value ->> 1),
       Suspect = CASE WHEN :suspect AND lost.value ->> 1 THEN 1 ELSE Suspect END,
       LeaseOwner = NULL, LeaseUntil = NULL, UpdatedAt = :now
  FROM json_each(:rows) AS lost
 WHERE Tasks.rowid = lost.value ->> 0
RETURNING Id, Status, Title, Error, Fingerprint;
