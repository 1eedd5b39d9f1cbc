-- The audit log, read newest first. Heartbeats are most of its rows by far: an index of their own
-- keeps them apart from what people have done.

-- entry = the columns of an entry in the order in which reading.py reads them
Id, At, Message, Actor, TaskId, Address, RequestId

-- page = the entries of a time, from a cursor on, whose text begins so
At >= :since AND (At, Id) < (:before, :before_id)
   AND starts_with(Message, :text)

-- newest = in the order of a page
ORDER BY At DESC, Id DESC LIMIT :limit

-- audit_acts: what anybody did
SELECT {entry} FROM Audit
 WHERE Message <> 'heartbeat' AND {page} {newest};

-- audit_acts_of: what one actor did
SELECT {entry} FROM Audit
 WHERE Message <> 'heartbeat' AND Actor = :actor AND {page} {newest};

-- audit_of_task: what was done to one task
SELECT {entry} FROM Audit
 WHERE TaskId = :task AND coalesce(CAST(:actor AS text), Actor) = Actor AND {page} {newest};

-- audit_heartbeats: the marks of processes
SELECT {entry} FROM Audit
 WHERE Message = 'heartbeat' AND coalesce(CAST(:actor AS text), Actor) = Actor AND {page} {newest};
