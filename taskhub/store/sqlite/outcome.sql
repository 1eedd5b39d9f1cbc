-- What becomes of a running attempt: outcomes and progress, lost leases, dead owners.

-- finish: end attempts as :status, each given as [id, fence, result, error, run_at]
-- A cancel that was asked for wins over Pending and Failed; an old fence changes nothing.
UPDATE Tasks
   SET Status = CASE WHEN CancelRequested AND :status IN ('Pending', 'Failed')
                     THEN 'Cancelled' ELSE :status END,
       FinishedAt = CASE WHEN CancelRequested OR :status <> 'Pending' THEN :now END,
       RunAt = CASE WHEN :status = 'Pending' AND NOT CancelRequested
                    THEN coalesce(ended.value ->> 4, RunAt) ELSE RunAt END,
       Result = ended.value ->> 2, Error = ended.value ->> 3, Attempts = Attempts - :refund,
       Suspect = :suspect, LeaseOwner = NULL, LeaseUntil = NULL, UpdatedAt = :now
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

-- sweep: free expired leases: Cancelled if asked for, Pending if attempts are left, else Failed
-- Our own only where the handler has ended (an answer was lost); those of owners that live on this
-- host only four leases after the last renewal, for the fence alone protects then; all others at
-- once, and those of another boot of this host too, whatever their clock said.
UPDATE Tasks INDEXED BY Tasks_Leases
   SET Status = CASE WHEN CancelRequested THEN 'Cancelled'
                     WHEN Attempts < MaxAttempts THEN 'Pending' ELSE 'Failed' END,
       FinishedAt = CASE WHEN CancelRequested OR Attempts >= MaxAttempts THEN :now END,
       Error = CASE WHEN CancelRequested OR Attempts < MaxAttempts
                    THEN Error ELSE 'lease expired' END,
       LeaseOwner = NULL, LeaseUntil = NULL, UpdatedAt = :now
 WHERE Status = 'Processing'
   AND CASE WHEN LeaseOwner = :owner
            THEN LeaseUntil <= :boottime AND Id NOT IN (SELECT value FROM json_each(:held))
            WHEN substr(LeaseOwner, 1, length(:boot)) <> :boot THEN 1
            WHEN LeaseOwner IN (SELECT value FROM json_each(:living))
            THEN LeaseUntil + 3 * :lease <= :boottime
            ELSE LeaseUntil <= :boottime END
RETURNING Id, Status, Title, Error;

-- cancels: which of :owner's tasks somebody wants cancelled
SELECT Id FROM Tasks INDEXED BY Tasks_Leases
 WHERE Status = 'Processing' AND CancelRequested = 1 AND LeaseOwner = :owner;

-- takeover: a dead owner's leases are free; :started NULL means that nobody knows what had started
-- What had not started goes back for free; what had is a suspect, and ends where attempts do. One
-- that was a suspect already ran apart: it is blamed only when nothing else had started.
UPDATE Tasks
   SET Status = CASE WHEN CancelRequested THEN 'Cancelled'
                     WHEN NOT begun.Begun OR Attempts < MaxAttempts THEN 'Pending'
                     ELSE 'Failed' END,
       FinishedAt = CASE WHEN CancelRequested OR (begun.Begun AND Attempts >= MaxAttempts)
                         THEN :now END,
       Error = CASE WHEN begun.Begun AND Attempts >= MaxAttempts AND NOT CancelRequested
                    THEN 'its worker died' ELSE Error END,
       Attempts = Attempts - NOT begun.Begun, Suspect = Suspect OR begun.Begun,
       LeaseOwner = NULL, LeaseUntil = NULL, UpdatedAt = :now
  FROM (SELECT rowid AS Row,
               :started IS NULL OR (Id IN (SELECT value FROM json_each(:started))
               AND (NOT Suspect OR NOT EXISTS (
                   SELECT 1 FROM Tasks AS Other INDEXED BY Tasks_Leases
                    WHERE Other.Status = 'Processing' AND Other.LeaseOwner = :owner
                      AND NOT Other.Suspect
                      AND Other.Id IN (SELECT value FROM json_each(:started))))) AS Begun
          FROM Tasks INDEXED BY Tasks_Leases
         WHERE Status = 'Processing' AND LeaseOwner = :owner) AS begun
 WHERE Tasks.rowid = begun.Row
RETURNING Id, Status, Title, Error;
