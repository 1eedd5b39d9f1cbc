-- Acts on many tasks, given by their ids; each touches only rows whose state allows it now.

-- cancel_many: end what is Pending, flag what is Processing and was not flagged before
UPDATE t
   SET Status = CASE t.Status WHEN 'Pending' THEN 'Cancelled' ELSE t.Status END,
       FinishedAt = CASE t.Status WHEN 'Pending' THEN CAST(:now AS BIGINT) END,
       CancelRequested = 1, UpdatedAt = :now
OUTPUT inserted.Id, inserted.Title, inserted.Status
  FROM Tasks AS t
 WHERE t.Id IN ({ids})
   AND (t.Status = 'Pending' OR t.Status = 'Processing' AND t.CancelRequested = 0);

-- retry_many: what has failed or was cancelled begins anew, as after requeue
UPDATE t
   SET Status = 'Pending', Attempts = 0, RunAt = :now, CancelRequested = 0, UpdatedAt = :now,
       StartedAt = NULL, FinishedAt = NULL, Progress = NULL, Error = NULL, Result = NULL,
       ResultUntil = NULL, Fingerprint = '', Suspect = t.Suspect % 4
OUTPUT inserted.Id, inserted.Title, inserted.Status
  FROM Tasks AS t
 WHERE t.Id IN ({ids}) AND t.Status IN ('Failed', 'Cancelled');

-- delete_many: what has ended goes, unless one that lives is after it; its history stays
-- What a statement deletes from a table with a trigger it can only put into another one.
DECLARE @gone TABLE (Id NVARCHAR(36), Title NVARCHAR(200), Status NVARCHAR(10));
DELETE t
OUTPUT deleted.Id, deleted.Title, deleted.Status INTO @gone
  FROM Tasks AS t
 WHERE t.Id IN ({ids}) AND t.Status IN ('Done', 'Failed', 'Cancelled') AND {unneeded};
SELECT Id, Title, Status FROM @gone;
