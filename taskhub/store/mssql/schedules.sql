-- Schedules, and what became of their due times.

-- schedule = the columns of a schedule in the order in which schedules.py reads them
Schedules.Name, Schedules.Cron, Schedules.TimeZone, Schedules.Title, Schedules.Type,
Schedules.Queue, Schedules.Priority, Schedules.Payload, Schedules.MaxAttempts,
Schedules.TimeoutSeconds, Schedules.Misfire, Schedules.MisfireGrace, Schedules.Overlap,
Schedules.Version, Schedules.Source, Schedules.Place, Schedules.Enabled, Schedules.NextAt,
Schedules.UpdatedAt, Schedules.UpdatedBy, Schedules.LastAt, Schedules.LastTaskId,
Tasks.Status, Tasks.FinishedAt, Tasks.Error,
(SELECT COUNT(*) FROM ScheduleRuns WHERE Outcome = 'waiting' AND Schedule = Schedules.Name)

-- with_task = each schedule with the task of its last run
Schedules LEFT JOIN Tasks ON Tasks.Id = Schedules.LastTaskId

-- schedule_named: one schedule
SELECT {schedule} FROM {with_task} WHERE Schedules.Name = :name;

-- schedules: a page of them by name
SELECT TOP (:limit) {schedule} FROM {with_task}
 WHERE Schedules.Name > :cursor ORDER BY Schedules.Name;

-- schedules_due: those whose next due time has come, the longest due first
SELECT TOP (:limit) {schedule} FROM Schedules
  LEFT JOIN Tasks ON Tasks.Id = Schedules.LastTaskId
 WHERE Schedules.Enabled = 1 AND Schedules.NextAt <= :now
 ORDER BY Schedules.NextAt;

-- schedules_ready: the first waiting run of each schedule whose last task has ended
SELECT TOP (:limit) {schedule}, waiting.DueAt
  FROM (SELECT Schedule, MIN(DueAt) AS DueAt FROM ScheduleRuns
         WHERE Outcome = 'waiting' GROUP BY Schedule) AS waiting
  JOIN Schedules ON Schedules.Name = waiting.Schedule
  LEFT JOIN Tasks ON Tasks.Id = Schedules.LastTaskId
 WHERE Tasks.Status IS NULL OR Tasks.Status IN ('Done', 'Failed', 'Cancelled')
 ORDER BY waiting.DueAt;

-- schedules_next: when the first due time comes, and whether any run waits
SELECT (SELECT MIN(NextAt) FROM Schedules WHERE Enabled = 1),
       CASE WHEN EXISTS (SELECT 1 FROM ScheduleRuns WHERE Outcome = 'waiting') THEN 1 ELSE 0 END;

-- schedule_runs: a page of what became of one schedule's due times, newest first
SELECT TOP (:limit) ScheduleRuns.DueAt, ScheduleRuns.At, ScheduleRuns.Since, ScheduleRuns.Outcome,
       ScheduleRuns.Reason, ScheduleRuns.Manual, ScheduleRuns.TaskId, Tasks.Status
  FROM ScheduleRuns LEFT JOIN Tasks ON Tasks.Id = ScheduleRuns.TaskId
 WHERE ScheduleRuns.Schedule = :name AND ScheduleRuns.DueAt < :before
 ORDER BY ScheduleRuns.DueAt DESC;

-- count_schedules: how many there are
SELECT COUNT(*) FROM Schedules;

-- add_schedule: a new one
INSERT INTO Schedules (Name, Cron, TimeZone, Title, Type, Queue, Priority, Payload, MaxAttempts,
                       TimeoutSeconds, Misfire, MisfireGrace, Overlap, Source, Place, NextAt,
                       UpdatedAt, UpdatedBy)
VALUES (:name, :cron, :zone, :title, :type, :queue, :priority, :payload, :attempts, :timeout,
        :misfire, :grace, :overlap, :source, :place, :next, :now, :by);

-- change_schedule: another definition; where its times are the same it stands where it stood
UPDATE s
   SET NextAt = CASE WHEN s.Cron = :cron AND s.TimeZone = :zone AND s.NextAt IS NOT NULL
                     THEN s.NextAt ELSE :next END,
       Cron = :cron, TimeZone = :zone, Title = :title, Type = :type, Queue = :queue,
       Priority = :priority, Payload = :payload, MaxAttempts = :attempts,
       TimeoutSeconds = :timeout, Misfire = :misfire, MisfireGrace = :grace, Overlap = :overlap,
       Source = :source, Place = :place, Version = s.Version + 1, UpdatedAt = :now, UpdatedBy = :by
  FROM Schedules AS s
 WHERE s.Name = :name;

-- drop_schedule: delete one; what became of its due times is pruned by age
DELETE FROM Schedules WHERE Name = :name;

-- pause_schedule: handle no more due times
UPDATE Schedules SET Enabled = 0, Version = Version + 1, UpdatedAt = :now, UpdatedBy = :by
 WHERE Name = :name AND Enabled = 1;

-- resume_schedule: handle them again, from :next on
UPDATE Schedules
   SET Enabled = 1, NextAt = :next, Version = Version + 1, UpdatedAt = :now, UpdatedBy = :by
 WHERE Name = :name AND Enabled = 0;

-- schedules_of: what a place of a source has declared
SELECT Name FROM Schedules WHERE Source = :source AND Place = :place ORDER BY Name;

-- move_on: from the due time that was seen to the next, unless somebody else has
UPDATE Schedules SET NextAt = :next
 WHERE Name = :name AND Version = :version AND Enabled = 1 AND NextAt = :seen;

-- handle: mark a due time as handled, unless somebody else has
INSERT INTO ScheduleRuns (Schedule, DueAt, At, Since, Outcome, Reason, Manual, TaskId)
SELECT :name, :due, :now, :since, :outcome, :reason, :manual, :task
 WHERE NOT EXISTS (SELECT 1 FROM ScheduleRuns AS k WITH (UPDLOCK, HOLDLOCK)
                    WHERE k.Schedule = :name AND k.DueAt = :due);

-- start_waiting: a run that waits becomes a task
UPDATE ScheduleRuns SET Outcome = 'fired', At = :now, TaskId = :task
 WHERE Schedule = :name AND DueAt = :due AND Outcome = 'waiting';

-- give_up_waiting: runs that wait are skipped, all but the one that is due at :but
UPDATE ScheduleRuns SET Outcome = 'skipped', Reason = :reason, At = :now
 WHERE Outcome = 'waiting' AND Schedule = :name
   AND (CAST(:but AS BIGINT) IS NULL OR DueAt <> CAST(:but AS BIGINT));

-- ran: which run was the last that became a task
UPDATE Schedules SET LastAt = :due, LastTaskId = :task WHERE Name = :name;

-- due_known: whether a due time was handled
SELECT 1 FROM ScheduleRuns WHERE Schedule = :name AND DueAt = :due;

-- prune_runs: delete what became of due times long ago
DELETE r FROM ScheduleRuns AS r
  JOIN (SELECT TOP (:limit) o.Schedule, o.DueAt FROM ScheduleRuns AS o
         WHERE o.Outcome <> 'waiting' AND o.At < :before ORDER BY o.At) AS old
    ON r.Schedule = old.Schedule AND r.DueAt = old.DueAt;
