"""The forms of `[events] url` that name a server, and what is said of others."""

from __future__ import annotations

import pytest
from taskhub.config.event_urls import FORMS, NO_LOGIN, NO_OPTIONS, EventsUrl, read_events_url

HERE = (("h", 6379),)


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("redis://h", EventsUrl(hosts=HERE)),
        ("redis://h:7/3", EventsUrl(hosts=(("h", 7),), database=3)),
        ("rediss://[fe80::1]:7", EventsUrl(hosts=(("fe80::1", 7),), is_tls=True)),
        ("redis+streams://h", EventsUrl(hosts=HERE, has_streams=True)),
        ("unix+streams:///r%20s?db=2", EventsUrl(path="/r s", database=2, has_streams=True)),
        (
            "redis+sentinel://a,b:1/my%20hub/4",
            EventsUrl(hosts=(("a", 26379), ("b", 1)), way="sentinel", service="my hub", database=4),
        ),
        (
            "rediss+cluster+streams://a,b",
            EventsUrl(
                hosts=(("a", 6379), ("b", 6379)), way="cluster", is_tls=True, has_streams=True
            ),
        ),
    ],
)
def test_a_url_is_understood(url: str, meant: EventsUrl) -> None:
    """Each form of the documentation."""
    assert read_events_url(url) == meant


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", FORMS),
        ("h:6379", FORMS),
        ("http://h", FORMS),
        ("redis://", FORMS),
        ("redis://a,b", FORMS),
        ("redis://h/zero", FORMS),
        ("redis://h /0", FORMS),
        ("redis://h:0", "a port from 1 to 65535"),
        ("redis://h:70000", "a port from 1 to 65535"),
        ("redis://h:port", FORMS),
        ("redis+other://h", FORMS),
        ("redis+streams+streams://h", FORMS),
        ("redis+sentinel+cluster://h/s", FORMS),
        ("unix+sentinel:///s", FORMS),
        ("unix://path", FORMS),
        ("unix:///", FORMS),
        ("redis+sentinel://h", FORMS),
        ("redis+cluster://h/1", FORMS),
        ("redis://me:canary@h", NO_LOGIN),
        ("redis+sentinel://:canary@h/s", NO_LOGIN),
        ("redis://h?db=1", NO_OPTIONS),
        ("redis://h#canary", NO_OPTIONS),
        ("unix:///s?password=canary", NO_OPTIONS),
    ],
)
def test_what_is_none_is_told_what_was_expected(url: str, why: str) -> None:
    """And never what was given: it may hold a password."""
    with pytest.raises(ValueError, match="expected") as error:
        read_events_url(url)

    assert why in str(error.value)
    assert "canary" not in str(error.value)
