"""What we tell others by ourselves, as the description of the API has it; nothing is sent here."""

from __future__ import annotations

from taskhub.http.route import Field, Message
from taskhub.model import Event
from taskhub.telling import TaskEvent

ID = "019aa1d2-8c6e-7b53-9a43-1d3c5a0f9e22"
SIGNED = (
    Field("webhook-id", "the delivery's id, the same each time that it is sent", ID),
    Field("webhook-timestamp", "when this attempt was made, in seconds since 1970", "1764022637"),
    Field(
        "webhook-signature",
        "`v1,` and the base64 of the HMAC-SHA256 of `id.timestamp.body`; one for each secret",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
    Field("TaskHub-Attempt", "1 for the first attempt", "1"),
)

MESSAGES: tuple[Message, ...] = (
    Message(
        name="webhook",
        text=(
            "An event that a webhook of the configuration is told. It is sent until the answer is "
            "a 2xx, for nearly three days; 410 ends it at once. It may come twice, with the same "
            "`webhook-id`, and in any order. Signed as Standard Webhooks has it."
        ),
        body=TaskEvent,
        fields=SIGNED,
    ),
    Message(
        name="taskEvent",
        text=(
            "Something happened to a task. The event server's channel (`taskhub:events`) carries "
            "one such object for each event. It is a hint and may be lost: the truth is what "
            "`GET /tasks/{id}` says."
        ),
        body=Event,
    ),
)
