-- Acts on many tasks, given by their ids; each touches only rows whose state allows it now.

-- cancel_many: end what is Pending, flag what is Processing and was not flagged before
UPDATE Tasks
   SET Status = CASE Status WHEN 'Pending' THEN 'Cancelled' ELSE Status END,
       FinishedAt = CASE Status WHEN 'Pending' THEN CAST(:now AS bigint) END,
       CancelRequested = 1, UpdatedAt = :now
 WHERE Id IN (SELECT json_array_elements_text(:ids))
   AND (Status = 'Pending' OR Status = 'Processing' AND CancelRequested = 0)
RETURNING Id, Title, Status;

-- retry_many: what has failed or was cancelled begins anew, as after requeue
UPDATE Tasks
   SET Status = 'Pending', Attempts = 0, RunAt = :now, CancelRequested = 0, UpdatedAt = :now,
       StartedAt = NULL, FinishedAt = NULL, Progress = NULL, Error = NULL, Result = NULL,
       ResultUntil = NULL, Fingerprint = '', Suspect = Suspect % 4
 WHERE Id IN (SELECT json_array_elements_text(:ids)) AND Status IN ('Failed', 'Cancelled')
RETURNING Id, Title, Status;

-- delete_many: what has ended goes, unless one that lives is after it; its history stays
DELETE FROM Tasks
 WHERE Id IN (SELECT json_array_elements_text(:ids)) AND Status IN ('Done', 'Failed', 'Cancelled')
   AND {unneeded}
RETURNING Id, Title, Status;
