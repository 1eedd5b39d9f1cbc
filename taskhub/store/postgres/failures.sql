-- Failed tasks in groups of those that are alike, by the index Tasks_Failures alone.

-- of_group = the failed tasks of the group (OfType, Mark), in the order of the index
FROM Tasks
 WHERE Status = 'Failed' AND Type = OfType AND Fingerprint = Mark

-- failure_groups: the groups that failed last, found by jumping from type to type, mark to mark
-- Each jump is one seek, however many tasks lie between; at most :most groups are looked at.
WITH RECURSIVE kinds (OfType) AS (
    SELECT coalesce(CAST(:type AS text) COLLATE "C",
                    (SELECT Type::text FROM Tasks WHERE Status = 'Failed' ORDER BY Type LIMIT 1))
     UNION ALL
    SELECT (SELECT Type::text FROM Tasks
             WHERE Status = 'Failed' AND Type > OfType ORDER BY Type LIMIT 1)
      FROM kinds
     WHERE OfType IS NOT NULL AND CAST(:type AS text) IS NULL
), marks (OfType, Mark) AS (
    SELECT OfType, (SELECT Fingerprint FROM Tasks
                     WHERE Status = 'Failed' AND Type = OfType ORDER BY Fingerprint LIMIT 1)
      FROM kinds
     WHERE OfType IS NOT NULL
     UNION ALL
    SELECT OfType, (SELECT Fingerprint FROM Tasks
                     WHERE Status = 'Failed' AND Type = OfType AND Fingerprint > Mark
                     ORDER BY Fingerprint LIMIT 1)
      FROM marks
     WHERE Mark IS NOT NULL
), looked (OfType, Mark) AS (
    SELECT OfType, Mark FROM marks LIMIT :most
), seen (OfType, Mark, LastAt) AS (
    SELECT OfType, Mark, (SELECT max(FinishedAt) {of_group}) FROM looked WHERE Mark IS NOT NULL
)
SELECT OfType, Mark, LastAt FROM seen
 WHERE LastAt >= :since
   AND (CAST(:last AS bigint) IS NULL OR LastAt < :last
        OR (LastAt = :last AND (Mark, OfType) > (:mark, :of)))
 ORDER BY LastAt DESC, Mark, OfType
 LIMIT :limit;

-- failure_group: of one group: its size, up to :counted, and when it was seen first
WITH asked (OfType, Mark) AS (SELECT CAST(:type AS text), CAST(:mark AS text))
SELECT (SELECT count(*) FROM (SELECT 1 {of_group} LIMIT :counted) AS counted),
       (SELECT min(FinishedAt) {of_group})
  FROM asked;

-- failure_samples: the tasks of one group that failed last, the newest first
SELECT Id, Error FROM Tasks
 WHERE Status = 'Failed' AND Type = :type AND Fingerprint = :mark
 ORDER BY FinishedAt DESC, Id DESC LIMIT :samples;

-- failure_cause: what the last failure of a task came of
SELECT Exception, Place FROM Attempts WHERE TaskId = :task ORDER BY Fence DESC LIMIT 1;
