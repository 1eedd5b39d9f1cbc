"""Signatures that receivers can check with any library of Standard Webhooks."""

from __future__ import annotations

from base64 import b64encode

import pytest
from taskhub.config.signing import wrong_secrets
from taskhub.work.outbound.signing import signed

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}'


def test_the_reference_vector_is_signed_as_everybody_signs_it() -> None:
    """The one that the libraries of Standard Webhooks are tested with."""
    assert signed(SECRET, MESSAGE, AT, BODY) == {
        "webhook-id": MESSAGE,
        "webhook-timestamp": str(AT),
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_each_secret_signs_so_that_one_can_be_changed_without_a_gap() -> None:
    """Receivers take any of them."""
    other = f"whsec_{b64encode(bytes(32)).decode()}"

    both = signed(f"{other} {SECRET}", MESSAGE, AT, BODY)["webhook-signature"].split()

    assert both[1] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert both[0] == signed(other, MESSAGE, AT, BODY)["webhook-signature"]


def test_without_a_secret_nothing_is_signed() -> None:
    """Doubles are known by their id all the same."""
    assert signed("", MESSAGE, AT, BODY) == {
        "webhook-id": MESSAGE,
        "webhook-timestamp": str(AT),
    }


@pytest.mark.parametrize("text", ["", SECRET, f"{SECRET}\n{SECRET}"])
def test_good_secrets_pass(text: str) -> None:
    """None, one, or several."""
    assert wrong_secrets(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "secret",
        SECRET.removeprefix("whsec_"),
        "whsec_",
        "whsec_!!!!",
        "whsec_c2hvcnQ=",
        f"whsec_{b64encode(bytes(65)).decode()}",
        f"{SECRET} secret",
        " ".join([SECRET] * 5),
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSé",
    ],
)
def test_bad_secrets_are_named_without_a_letter_of_them(text: str) -> None:
    """Short ones can be guessed."""
    wrong = wrong_secrets(text)

    assert wrong.startswith("expected")
    assert not any(part in wrong for part in text.split() if len(part) > len("whsec_"))
