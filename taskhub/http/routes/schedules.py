"""The routes of schedules."""

from __future__ import annotations

from taskhub.errors import Conflict
from taskhub.http import limits
from taskhub.http.route import (
    NEEDS_TOKEN,
    OPERATE,
    READ,
    READS,
    TAKES_BODY,
    WRITES,
    Field,
    Reply,
    Route,
)
from taskhub.http.schedules import acting, looking
from taskhub.http.schedules.body import NewSchedule, ScheduleBody
from taskhub.http.schedules.items import (
    Explanation,
    RunAnswer,
    RunList,
    ScheduleDetail,
    ScheduleItem,
    ScheduleList,
)
from taskhub.http.schedules.problems import (
    Changed,
    DeclaredElsewhere,
    NameTaken,
    NoSchedule,
    Overlapping,
    TooMany,
)

ETAG = {"ETag": "changes with every change of the schedule and of its last run"}
MADE = {"Location": "where the schedule is", **ETAG}
IF_MATCH = Field("If-Match", "Only while the schedule is still as this ETag has it.", '"3-4bd1"')
ONLY_NEW = Field("If-None-Match", "`*`: only where there is none of this name.", "*")
UNLESS = Field("If-None-Match", "304 while it is still the same.", '"3-4bd1"')

ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/schedules",
        name="listSchedules",
        text="A page of schedules, by name: in words, next runs, last run.",
        handler=looking.find,
        access=READ,
        query=looking.LIST,
        replies=(Reply(200, "The page.", ScheduleList),),
        errors=(*NEEDS_TOKEN, *READS),
    ),
    Route(
        method="POST",
        path="/schedules",
        name="createSchedule",
        text="Make a schedule. Its first due time is the first one after now.",
        handler=acting.create,
        access=OPERATE,
        limit=limits.ACTS,
        body=NewSchedule,
        replies=(Reply(201, "It is on disk.", ScheduleItem, headers=MADE),),
        errors=(*TAKES_BODY, NameTaken, TooMany, *WRITES),
    ),
    Route(
        method="GET",
        path="/schedules/{name}",
        name="getSchedule",
        text="One schedule, with the whole task of its last run.",
        handler=looking.show,
        access=READ,
        fields=(UNLESS,),
        replies=(
            Reply(200, "The schedule.", ScheduleDetail, headers=ETAG),
            Reply(304, "It has not changed.", headers=ETAG),
        ),
        errors=(*NEEDS_TOKEN, NoSchedule, *READS),
    ),
    Route(
        method="PUT",
        path="/schedules/{name}",
        name="putSchedule",
        text=(
            "Make a schedule, or replace it as a whole. Where its times stay the same, what is due "
            "and not yet handled stays due."
        ),
        handler=acting.put,
        access=OPERATE,
        limit=limits.ACTS,
        body=ScheduleBody,
        fields=(IF_MATCH, ONLY_NEW),
        replies=(
            Reply(200, "It was changed.", ScheduleItem, headers=ETAG),
            Reply(201, "It was made.", ScheduleItem, headers=MADE),
        ),
        errors=(*TAKES_BODY, NoSchedule, DeclaredElsewhere, TooMany, Changed, *WRITES),
    ),
    Route(
        method="DELETE",
        path="/schedules/{name}",
        name="deleteSchedule",
        text="Delete a schedule. Its tasks stay; runs that wait are given up.",
        handler=acting.delete,
        access=OPERATE,
        limit=limits.ACTS,
        fields=(IF_MATCH,),
        replies=(Reply(204, "It is deleted."),),
        errors=(*NEEDS_TOKEN, NoSchedule, DeclaredElsewhere, Changed, *WRITES),
    ),
    Route(
        method="GET",
        path="/schedules/{name}/runs",
        name="listRuns",
        text="What became of a schedule's due times, newest first.",
        handler=looking.runs,
        access=READ,
        query=looking.RUNS,
        replies=(Reply(200, "The page.", RunList),),
        errors=(*NEEDS_TOKEN, NoSchedule, *READS),
    ),
    Route(
        method="POST",
        path="/schedules/{name}/pause",
        name="pauseSchedule",
        text="Handle no more due times until it is resumed; runs that wait are given up.",
        handler=acting.pause,
        access=OPERATE,
        limit=limits.ACTS,
        fields=(IF_MATCH,),
        replies=(Reply(200, "It is paused.", ScheduleItem, headers=ETAG),),
        errors=(*NEEDS_TOKEN, NoSchedule, Changed, *WRITES),
    ),
    Route(
        method="POST",
        path="/schedules/{name}/resume",
        name="resumeSchedule",
        text="Go on from now. What was due while it was paused is not made up for.",
        handler=acting.resume,
        access=OPERATE,
        limit=limits.ACTS,
        fields=(IF_MATCH,),
        replies=(Reply(200, "It is no longer paused.", ScheduleItem, headers=ETAG),),
        errors=(*NEEDS_TOKEN, NoSchedule, Conflict, Changed, *WRITES),
    ),
    Route(
        method="POST",
        path="/schedules/{name}/run",
        name="runSchedule",
        text="Run it now, paused or not, as its overlap policy allows.",
        handler=acting.run,
        access=OPERATE,
        limit=limits.ACTS,
        replies=(
            Reply(201, "It runs.", RunAnswer, headers={"Location": "where its task is"}),
            Reply(202, "It waits for the run before it.", RunAnswer),
        ),
        errors=(*NEEDS_TOKEN, NoSchedule, Overlapping, *WRITES),
    ),
    Route(
        method="GET",
        path="/cron",
        name="explainCron",
        text="Say a cron expression in words, and when it is due next.",
        handler=looking.explain,
        access=READ,
        query=looking.CRON,
        replies=(Reply(200, "What it means.", Explanation),),
        errors=NEEDS_TOKEN,
    ),
)
