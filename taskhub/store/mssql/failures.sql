-- Failed tasks in groups of those that are alike, by the index Tasks_Failures alone.

-- failure_groups: the groups that failed last, found by jumping from type to type, mark to mark
-- Each jump is one seek, however many tasks lie between; at most :most groups are looked at.
WITH marks (OfType, Mark) AS (
    SELECT jump.Type, jump.Fingerprint
      FROM (SELECT TOP (1) t.Type, t.Fingerprint FROM Tasks AS t
             WHERE t.Status = 'Failed'
               AND (CAST(:type AS NVARCHAR(100)) IS NULL OR t.Type = :type)
             ORDER BY t.Type, t.Fingerprint) AS jump
     UNION ALL
    SELECT jump.Type, jump.Fingerprint
      FROM marks
     CROSS APPLY (
        SELECT either.Type, either.Fingerprint, ROW_NUMBER() OVER (ORDER BY either.Step) AS Number
          FROM (SELECT 1 AS Step, t.Type, t.Fingerprint,
                       ROW_NUMBER() OVER (ORDER BY t.Fingerprint) AS Number
                  FROM Tasks AS t
                 WHERE t.Status = 'Failed' AND t.Type = marks.OfType
                   AND t.Fingerprint > marks.Mark
                 UNION ALL
                SELECT 2, t.Type, t.Fingerprint, ROW_NUMBER() OVER (ORDER BY t.Type, t.Fingerprint)
                  FROM Tasks AS t
                 WHERE t.Status = 'Failed' AND t.Type > marks.OfType
                   AND CAST(:type AS NVARCHAR(100)) IS NULL) AS either
         WHERE either.Number = 1) AS jump
     WHERE jump.Number = 1
), looked (OfType, Mark) AS (
    SELECT TOP (:most) marks.OfType, marks.Mark FROM marks
), seen (OfType, Mark, LastAt) AS (
    SELECT looked.OfType, looked.Mark,
           (SELECT MAX(t.FinishedAt) FROM Tasks AS t
             WHERE t.Status = 'Failed' AND t.Type = looked.OfType AND t.Fingerprint = looked.Mark)
      FROM looked
)
SELECT TOP (:limit) seen.OfType, seen.Mark, seen.LastAt FROM seen
 WHERE seen.LastAt >= :since
   AND (CAST(:last AS BIGINT) IS NULL OR seen.LastAt < :last
        OR (seen.LastAt = :last
            AND (seen.Mark > :mark OR (seen.Mark = :mark AND seen.OfType > :of))))
 ORDER BY seen.LastAt DESC, seen.Mark, seen.OfType
OPTION (MAXRECURSION 0);

-- of_group = the failed tasks of the group, in the order of the index
FROM Tasks AS t WHERE t.Status = 'Failed' AND t.Type = :type AND t.Fingerprint = :mark

-- failure_group: of one group: its size, up to :counted, and when it was seen first
SELECT (SELECT COUNT(*) FROM (SELECT TOP (:counted) t.Id {of_group}) AS counted),
       (SELECT MIN(t.FinishedAt) {of_group});

-- failure_samples: the tasks of one group that failed last, the newest first
SELECT TOP (:samples) t.Id, t.Error {of_group} ORDER BY t.FinishedAt DESC, t.Id DESC;

-- failure_cause: what the last failure of a task came of
SELECT TOP (1) Exception, Place FROM Attempts WHERE TaskId = :task ORDER BY Fence DESC;
