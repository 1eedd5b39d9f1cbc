-- What becomes of a running attempt: outcomes and progress, lost leases, dead owners.

-- finish: write outcomes, each given as [id, fence, status, result, error, run_at, refund, suspect]
-- A cancel that was asked for wins over Pending and Failed; an old fence changes nothing.
UPDATE Tasks
   SET Status = CASE WHEN CancelRequested AND outcome.Status IN ('Pending', 'Failed')
                     THEN 'Cancelled' ELSE outcome.Status END,
       FinishedAt = CASE WHEN CancelRequested OR outcome.Status <> 'Pending' THEN :now END,
       RunAt = CASE WHEN outcome.Status = 'Pending' AND NOT CancelRequested
                    THEN coalesce(outcome.RunAt, Tasks.RunAt) ELSE Tasks.RunAt END,
       Result = outcome.Result, Error = outcome.Error, Attempts = Attempts - outcome.Refund,
       Suspect = outcome.Suspect, LeaseOwner = NULL, LeaseUntil = NULL, UpdatedAt = :now
  FROM (SELECT value ->> 0 AS Id, value ->> 1 AS Fence, value ->> 2 AS Status,
               value ->> 3 AS Result, value ->> 4 AS Error, value ->> 5 AS RunAt,
               value ->> 6 AS Refund, value ->> 7 AS Suspect
          FROM json_each(:outcomes)) AS outcome
 WHERE Tasks.Id = outcome.Id AND Tasks.Fence = outcome.Fence AND Tasks.Status = 'Processing'
RETURNING Id, Fence, Status, Title, Attempts, Error;

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
UPDATE Tasks
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
RETURNING Id, Status, Title, Attempts, Error;

-- cancels: which of :owner's tasks somebody wants cancelled
SELECT Id FROM Tasks WHERE Status = 'Processing' AND LeaseOwner = :owner AND CancelRequested;

-- takeover: a dead owner's leases are free; :started NULL means that nobody knows what had started
-- What had not started goes back for free; what had is a suspect, and ends where attempts do.
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
               :started IS NULL OR Id IN (SELECT value FROM json_each(:started)) AS Begun
          FROM Tasks WHERE Status = 'Processing' AND LeaseOwner = :owner) AS begun
 WHERE Tasks.rowid = begun.Row
RETURNING Id, Status, Title, Attempts, Error;
