-- What becomes of a running attempt: outcomes and progress, lost leases, dead owners.

-- fingerprint = the mark of what failed so, as the function of this name in failures.py makes it
substr(encode(sha256(convert_to(Tasks.Type || chr(10) || CAST(:exception AS text) || chr(10),
                                'UTF8')), 'hex'), 1, 16)

-- failed: keep what attempts have failed of, before their ends are written
-- Each is given as [id, fence, error, fingerprint, exception, place, trace]. After a wish to cancel
-- nothing counts as a failure. A slot is used again by the fiftieth start that follows. The rows are
-- locked, so that what is judged here is still so when their ends are written.
WITH held AS (
    SELECT Tasks.Id, Fence, Attempts, StartedAt, LeaseOwner, failed.value
      FROM json_array_elements(:failed) AS failed (value)
      JOIN Tasks ON Tasks.Id = failed.value ->> 0 AND Tasks.Fence = (failed.value ->> 1)::bigint
     WHERE Tasks.Status = 'Processing' AND CancelRequested = 0
     ORDER BY Tasks.Id FOR UPDATE OF Tasks
)
INSERT INTO Attempts (TaskId, Slot, Fence, Attempt, StartedAt, EndedAt, Worker, Error, Fingerprint,
                      Exception, Place, Trace)
SELECT Id, Fence % :kept, Fence, Attempts, StartedAt, :now, LeaseOwner, value ->> 2,
       coalesce(value ->> 3, ''), value ->> 4, value ->> 5, value ->> 6
  FROM held
{slot};

-- slot = what was in the slot makes room
    ON CONFLICT (TaskId, Slot) DO UPDATE
   SET Fence = excluded.Fence, Attempt = excluded.Attempt, StartedAt = excluded.StartedAt,
       EndedAt = excluded.EndedAt, Worker = excluded.Worker, Error = excluded.Error,
       Fingerprint = excluded.Fingerprint, Exception = excluded.Exception,
       Place = excluded.Place, Trace = excluded.Trace

-- drop_traces: of failures that are alike the newest has the trace, for all
UPDATE Attempts SET Trace = NULL
  FROM json_array_elements(:failed) AS failed (value)
 WHERE Attempts.TaskId = failed.value ->> 0 AND Attempts.Fence < (failed.value ->> 1)::bigint
   AND Attempts.Fingerprint = failed.value ->> 3 AND Attempts.Trace IS NOT NULL
   AND EXISTS (SELECT 1 FROM Attempts AS Newest
                WHERE Newest.TaskId = failed.value ->> 0
                  AND Newest.Fence = (failed.value ->> 1)::bigint
                  AND Newest.Fingerprint = Attempts.Fingerprint);

-- finish: end attempts as :status, each given as [id, fence, result, error, run_at, fingerprint,
-- until when the result is kept]
-- A cancel that was asked for wins over Pending and Failed; an old fence changes nothing.
UPDATE Tasks
   SET Status = CASE WHEN CancelRequested = 1 AND CAST(:status AS text) IN ('Pending', 'Failed')
                     THEN 'Cancelled' ELSE :status END,
       FinishedAt = CASE WHEN CancelRequested = 1 OR :status <> 'Pending'
                         THEN CAST(:now AS bigint) END,
       RunAt = CASE WHEN :status = 'Pending' AND CancelRequested = 0
                    THEN coalesce((ended.value ->> 4)::bigint, RunAt) ELSE RunAt END,
       Result = ended.value ->> 2, ResultUntil = (ended.value ->> 6)::bigint,
       Error = ended.value ->> 3,
       Fingerprint = CASE :status WHEN 'Done' THEN '' ELSE coalesce(ended.value ->> 5, '') END,
       Attempts = Attempts - :refund,
       Suspect = CASE WHEN CAST(:suspect AS integer) = 1 THEN 1
                      WHEN GroupKey IS NULL THEN 0 ELSE 2 END,
       LeaseOwner = NULL, LeaseUntil = NULL, UpdatedAt = :now
  FROM json_array_elements(:ended) AS ended (value)
 WHERE Tasks.Id = ended.value ->> 0 AND Tasks.Fence = (ended.value ->> 1)::bigint
   AND Tasks.Status = 'Processing'
RETURNING Id, Fence, Status, Title;

-- progress: keep what handlers say of themselves, each given as [id, fence, json]
UPDATE Tasks SET Progress = news.value ->> 2, UpdatedAt = :now
  FROM json_array_elements(:news) AS news (value)
 WHERE Tasks.Id = news.value ->> 0 AND Tasks.Fence = (news.value ->> 1)::bigint
   AND Tasks.Status = 'Processing'
RETURNING Id, Fence, Title, Progress;

-- sweep: the leases that are over, as [id, whether their handler had begun]
-- Our own only where the handler has ended (an answer was lost); those of owners that live on this
-- host only four leases after the last renewal, for the fence alone protects then; all others at
-- once when they are over. Somebody else's boot says nothing here: hosts are many. What another
-- holds locked is being ended or renewed.
SELECT Id, 1 FROM Tasks
 WHERE Status = 'Processing'
   AND CASE WHEN LeaseOwner = :owner
            THEN LeaseUntil <= :boottime AND Id NOT IN (SELECT json_array_elements_text(:held))
            WHEN LeaseOwner IN (SELECT json_array_elements_text(:living))
            THEN LeaseUntil + 3 * CAST(:lease AS double precision) <= :boottime
            ELSE LeaseUntil <= :boottime END
 ORDER BY Id FOR UPDATE SKIP LOCKED;

-- cancels: which of :owner's tasks somebody wants cancelled
SELECT Id FROM Tasks WHERE Status = 'Processing' AND CancelRequested = 1 AND LeaseOwner = :owner;

-- takeover: a dead owner's leases, as [id, whether their handler had begun]
-- :started NULL means that nobody knows what had. One that was a suspect already ran apart: it is
-- blamed only when nothing else had started.
SELECT Id, (CAST(:started AS json) IS NULL OR (Id IN (SELECT json_array_elements_text(:started))
              AND (Suspect <> 1 OR NOT EXISTS (
                  SELECT 1 FROM Tasks AS Other
                   WHERE Other.Status = 'Processing' AND Other.LeaseOwner = :owner
                     AND Other.Suspect <> 1
                     AND Other.Id IN (SELECT json_array_elements_text(:started))))))::int
  FROM Tasks
 WHERE Status = 'Processing' AND LeaseOwner = :owner
 ORDER BY Id FOR UPDATE OF Tasks;

-- lost: keep that attempts have failed with their leases, each given as [id, begun]
INSERT INTO Attempts (TaskId, Slot, Fence, Attempt, StartedAt, EndedAt, Worker, Error, Fingerprint,
                      Exception)
SELECT Tasks.Id, Fence % :kept, Fence, Attempts, StartedAt, :now, LeaseOwner, :error,
       {fingerprint}, :exception
  FROM json_array_elements(:rows) AS lost (value) JOIN Tasks ON Tasks.Id = lost.value ->> 0
 WHERE lost.value ->> 1 = '1' AND CancelRequested = 0
{slot};

-- free: end leases, each given as [id, begun]: Cancelled if asked for, else Pending or Failed
-- What had not begun goes back for free. What had is blamed: it ends where attempts do, and with
-- :suspect runs apart from now on.
UPDATE Tasks
   SET Status = CASE WHEN CancelRequested = 1 THEN 'Cancelled'
                     WHEN lost.value ->> 1 = '0' OR Attempts < MaxAttempts THEN 'Pending'
                     ELSE 'Failed' END,
       FinishedAt = CASE WHEN CancelRequested = 1
                           OR (lost.value ->> 1 = '1' AND Attempts >= MaxAttempts)
                         THEN CAST(:now AS bigint) END,
       Error = CASE WHEN lost.value ->> 1 = '1' AND Attempts >= MaxAttempts AND CancelRequested = 0
                    THEN :error ELSE Error END,
       Fingerprint = CASE WHEN lost.value ->> 1 = '1' AND Attempts >= MaxAttempts
                               AND CancelRequested = 0
                          THEN {fingerprint} ELSE Fingerprint END,
       Attempts = Attempts - CASE WHEN lost.value ->> 1 = '0' THEN 1 ELSE 0 END,
       Suspect = CASE WHEN lost.value ->> 1 = '1' AND CAST(:suspect AS integer) = 1 THEN 1
                      ELSE Suspect END,
       LeaseOwner = NULL, LeaseUntil = NULL, UpdatedAt = :now
  FROM json_array_elements(:rows) AS lost (value)
 WHERE Tasks.Id = lost.value ->> 0
RETURNING Id, Status, Title, Error, Fingerprint;
