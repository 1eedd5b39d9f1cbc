-- The audit log, read newest first. Heartbeats are most of its rows by far: an index of their own
-- keeps them apart from what people have done.

-- entries = up to :limit entries, with their columns in the order in which audit.py reads them
SELECT TOP (:limit) Id, At, Message, Actor, TaskId, Address, RequestId FROM Audit

-- page = the entries of a time, from a cursor on, whose text begins so
At >= :since AND At <= :before AND (At < :before OR Id < :before_id)
   AND LEFT(Message, DATALENGTH(CAST(:text AS NVARCHAR(MAX))) / 2) = :text

-- newest = in the order of a page
ORDER BY At DESC, Id DESC

-- audit_acts: what anybody did
{entries}
 WHERE Message <> 'heartbeat' AND {page} {newest};

-- audit_acts_of: what one actor did
{entries}
 WHERE Message <> 'heartbeat' AND Actor = :actor AND {page} {newest};

-- audit_of_task: what was done to one task
{entries}
 WHERE TaskId = :task AND COALESCE(CAST(:actor AS NVARCHAR(200)), Actor) = Actor AND {page} {newest};

-- audit_heartbeats: the marks of processes
{entries}
 WHERE Message = 'heartbeat' AND COALESCE(CAST(:actor AS NVARCHAR(200)), Actor) = Actor
   AND {page} {newest};
