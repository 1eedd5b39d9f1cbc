-- Failed tasks in groups of those that are alike, by the index Tasks_Failures alone.

-- of_group = the failed tasks of the group (OfType, Mark), in the order of the index
FROM Tasks INDEXED BY Tasks_Failures
 WHERE Status = 'Failed' AND Type = OfType AND Fingerprint = Mark

-- failure_groups: the groups that failed last, found by jumping from type to type, mark to mark
-- Each jump is one seek, however many tasks lie between; at most :most groups are looked at.
WITH RECURSIVE types (OfType) AS (
    SELECT ifnull(:type, (SELECT Type FROM Tasks INDEXED BY Tasks_Failures
                           WHERE Status = 'Failed' ORDER BY Type LIMIT 1))
     UNION ALL
    SELECT (SELECT Type FROM Tasks INDEXED BY Tasks_Failures
             WHERE Status = 'Failed' AND Type > OfType ORDER BY Type LIMIT 1)
      FROM types
     WHERE OfType IS NOT NULL AND :type IS NULL
), marks (OfType, Mark) AS (
    SELECT OfType, (SELECT Fingerprint FROM Tasks INDEXED BY Tasks_Failures
                     WHERE Status = 'Failed' AND Type = OfType ORDER BY Fingerprint LIMIT 1)
      FROM types
     WHERE OfType IS NOT NULL
     UNION ALL
    SELECT OfType, (SELECT Fingerprint FROM Tasks INDEXED BY Tasks_Failures
                     WHERE Status = 'Failed' AND Type = OfType AND Fingerprint > Mark
                     ORDER BY Fingerprint LIMIT 1)
      FROM marks
     WHERE Mark IS NOT NULL
     LIMIT :most
), seen (OfType, Mark, LastAt) AS (
    SELECT OfType, Mark, (SELECT max(FinishedAt) {of_group}) FROM marks WHERE Mark IS NOT NULL
)
SELECT OfType, Mark, LastAt FROM seen
 WHERE LastAt >= :since
   AND (:last IS NULL OR LastAt < :last OR (LastAt = :last AND (Mark, OfType) > (:mark, :of)))
 ORDER BY LastAt DESC, Mark, OfType
 LIMIT :limit;

-- failure_group: of one group: its size, up to :counted, and when it was seen first
WITH asked (OfType, Mark) AS (SELECT :type, :mark)
SELECT (SELECT count(*) FROM (SELECT 1 {of_group} LIMIT :counted)), (SELECT min(FinishedAt) {of_group})
  FROM asked;

-- failure_samples: the tasks of one group that failed last, the newest first
WITH asked (OfType, Mark) AS (SELECT :type, :mark), newest (Row) AS (
    SELECT (SELECT json_group_array(rowid) FROM (SELECT rowid {of_group}
             ORDER BY FinishedAt DESC, rowid DESC LIMIT :samples))
      FROM asked
)
SELECT one.Id, one.Error
  FROM newest CROSS JOIN json_each(newest.Row) AS place CROSS JOIN Tasks AS one
    ON one.rowid = place.value
 ORDER BY place.key;

-- failure_cause: what the last failure of a task came of
SELECT Exception, Place FROM Attempts WHERE TaskId = :task ORDER BY Fence DESC LIMIT 1;
