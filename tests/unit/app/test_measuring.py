"""Who may read the metrics at their own port: the same as at the API's."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request
from taskhub.app.measuring import _admits
from taskhub.config.sections import HttpSection

OPEN = HttpSection(metrics_allow=("127.0.0.0/8", "10.0.0.0/8"), trusted_proxies=("10.0.0.1",))


@pytest.mark.parametrize(
    ("remote", "forwarded", "admitted"),
    [
        ("127.0.0.1", "", True),
        ("10.1.2.3", "", True),
        ("192.0.2.1", "", False),
        ("127.0.0.1", "127.0.0.1", False),
        ("10.0.0.1", "10.9.9.9", True),
        ("10.0.0.1", "192.0.2.1", False),
    ],
)
def test_networks_are_admitted_and_strange_proxies_are_not(
    remote: str, forwarded: str, admitted: bool
) -> None:
    """An open port, or a proxy on this machine, must not publish them."""
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    request = make_mocked_request("GET", "/metrics", headers=headers).clone(remote=remote)

    assert _admits(request, OPEN) is admitted
