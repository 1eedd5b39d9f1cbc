"""Azure Functions (Python v2 model): events of a topic ring, and handlers do what waits.

Settings of the function app: TASKHUB_URL, TASKHUB_TOKEN (scope tasks.work), TASKHUB_HANDLERS
(modules, with commas between), ServiceBus (a connection string), TASKHUB_TOPIC and
TASKHUB_SUBSCRIPTION.
"""

from __future__ import annotations

import json
import os

import azure.functions as func

from taskhub.app.functions import Functions

app = func.FunctionApp()
functions = Functions(
    os.environ["TASKHUB_HANDLERS"].split(","),
    os.environ["TASKHUB_URL"],
    os.environ["TASKHUB_TOKEN"],
)


@app.service_bus_topic_trigger(
    arg_name="message",
    topic_name="%TASKHUB_TOPIC%",
    subscription_name="%TASKHUB_SUBSCRIPTION%",
    connection="ServiceBus",
)
async def rang(message: func.ServiceBusMessage) -> None:
    """An event: what waits is done. An error abandons the message, and it comes again."""
    await functions.rang(message.get_body())


@app.event_grid_trigger(arg_name="event")
async def told(event: func.EventGridEvent) -> None:
    """The same where events come by Event Grid."""
    await functions.rang(json.dumps(event.get_json()).encode())


@app.timer_trigger(arg_name="timer", schedule="*/30 * * * * *")
async def due(timer: func.TimerRequest) -> None:  # noqa: ARG001 - its host passes it by name
    """Retries and tasks for later become due without a message."""
    await functions.work()
