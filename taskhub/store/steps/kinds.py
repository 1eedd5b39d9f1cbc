"""What is done for each kind of write; it does nothing itself."""

from __future__ import annotations

from taskhub.audit import Audit
from taskhub.bulk import Bulk
from taskhub.ports import (
    Cancel,
    Claim,
    Create,
    CreateMany,
    Finish,
    Forward,
    Progress,
    Prune,
    Register,
    Release,
    Renew,
    Requeue,
    Sweep,
    Takeover,
)
from taskhub.queues import Pause
from taskhub.registration import Forget, Seen
from taskhub.schedules.writes import (
    DeclareSchedules,
    DropSchedule,
    FireSchedule,
    PauseSchedule,
    ResumeSchedule,
    SaveSchedule,
    StartRun,
    TriggerSchedule,
)
from taskhub.store.steps import (
    acts,
    claiming,
    creating,
    ending,
    firing,
    leasing,
    many,
    pausing,
    schedules,
)
from taskhub.store.steps.batch import Kinds

KINDS: Kinds = {
    Register: acts.register,
    Seen: acts.seen,
    Forget: acts.forget,
    Create: creating.create,
    CreateMany: creating.create_many,
    Forward: creating.forward,
    Finish: ending.finish,
    Progress: ending.progress,
    Renew: leasing.renew,
    Release: leasing.release,
    Takeover: leasing.takeover,
    Sweep: leasing.sweep,
    Cancel: acts.cancel,
    Requeue: acts.requeue,
    Bulk: many.bulk,
    Pause: pausing.pause,
    SaveSchedule: schedules.save,
    DropSchedule: schedules.drop,
    PauseSchedule: schedules.pause,
    ResumeSchedule: schedules.resume,
    DeclareSchedules: schedules.declare,
    FireSchedule: firing.fire,
    TriggerSchedule: firing.trigger,
    StartRun: firing.start,
    Claim: claiming.claim,
    Audit: acts.audit,
    Prune: acts.prune,
}
"""What is done for each kind of write, in the order in which a batch does them."""
