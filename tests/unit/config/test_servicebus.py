"""What may stand in `[servicebus]`, and what is said of the rest."""

from __future__ import annotations

import pytest
from taskhub.config import servicebus
from taskhub.config.event_urls import ServiceBusUrl, read_service_bus
from taskhub.config.sections import Config, EventsSection, Secret, ServiceBusSection
from taskhub.config.servicebus import NO_LIBRARY, STRING, subscription_of

URL = "servicebus://hub.servicebus.windows.net/tasks"
GOOD = "Endpoint=sb://hub.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=canary=="


def wrong(section: ServiceBusSection, url: str = URL, *, is_there: bool = True) -> dict[str, str]:
    """What is wrong with it, by key."""
    config = Config(events=EventsSection(url=url), servicebus=section)
    return dict(servicebus.rules(config, lambda _: is_there))


@pytest.mark.parametrize("text", ["", GOOD, GOOD + ";EntityPath=tasks"])
def test_a_key_of_the_namespace_or_an_identity_is_taken(text: str) -> None:
    """As the portal shows it, with or without the topic."""
    assert wrong(ServiceBusSection(connection_string=Secret(text))) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("canary", STRING),
        ("Endpoint=sb://hub.servicebus.windows.net/;SharedAccessKey=canary", STRING),
        (GOOD.replace("hub.", "other."), "expected one of the namespace"),
        (GOOD + ";EntityPath=canary", "expected one of the topic"),
    ],
)
def test_what_does_not_fit_is_said_without_the_key(text: str, said: str) -> None:
    """It would be found out by processes that hear nothing."""
    told = wrong(ServiceBusSection(connection_string=Secret(text)))

    assert said in told["servicebus.connection_string"]
    assert "canary" not in str(told)


def test_without_its_library_one_line_says_what_to_install() -> None:
    """Before any process starts."""
    assert wrong(ServiceBusSection(), is_there=False) == {"events.url": NO_LIBRARY}


def test_where_another_server_is_chosen_nothing_is_asked_for() -> None:
    """Neither the library nor names."""
    section = ServiceBusSection(work="?", connection_string=Secret("canary"))
    assert wrong(section, "embedded", is_there=False) == {}


def test_names_that_azure_would_refuse_are_refused() -> None:
    """Subscriptions have letters, digits, dots, hyphens, underscores."""
    told = wrong(ServiceBusSection(subscription="{instance}/{host}", work="a b"))

    assert list(told) == ["servicebus.subscription", "servicebus.work"]


def test_each_process_has_a_name_that_azure_takes() -> None:
    """Also on hosts whose own has other characters."""
    assert subscription_of("{host}.{instance}", "api-1", "böx_7") == "b-x_7.api-1"
    assert len(subscription_of("{host}-{instance}", "api-1", "x" * 90)) == 50


def test_a_topic_is_read_from_the_url() -> None:
    """With a port only where the namespace is not Azure's."""
    assert read_service_bus(URL) == ServiceBusUrl("hub.servicebus.windows.net", "tasks")
    assert read_service_bus("servicebus://127.0.0.1:7/a/b") == ServiceBusUrl("127.0.0.1:7", "a/b")
    with pytest.raises(ValueError, match="expected embedded"):
        read_service_bus("servicebus://hub")
