"""`[outbound.webhooks.NAME]`: from files and variables to who is told of what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from taskhub.config import snapshot
from taskhub.config.diff import How, changes
from taskhub.config.keys import named_keys
from taskhub.config.load import Loaded, all_keys, load, value_of
from taskhub.config.sections import Config, Secret, WebhookSection
from taskhub.config.settings import shown
from taskhub.config.webhooks import doubts
from taskhub.errors import ConfigError

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PATH = "T000/a-path-that-is-a-password"
SHOP = f"""
[outbound.webhooks.shop]
url = "https://shop.example/{PATH}"
events = ["TaskDone", "TaskFailed"]
types = ["image.*", "resize"]
queues = ["default"]
"""


def read(folder: Path, text: str = SHOP, environ: Mapping[str, str] | None = None) -> Loaded:
    """The configuration of a file with this text."""
    path = folder / "supervisor.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, environ or {})


def problems(folder: Path, text: str = SHOP, environ: Mapping[str, str] | None = None) -> list[str]:
    """What is said about it."""
    with pytest.raises(ConfigError) as caught:
        read(folder, text, environ)
    return [problem.detail for problem in caught.value.problems]


def test_a_webhook_is_a_table_with_its_name(folder: Path) -> None:
    """What it does not say is as with everybody."""
    loaded = read(folder, SHOP + '[outbound.webhooks.log]\nurl = "http://log.example:8080"\n')

    shop, log = loaded.config.outbound.webhooks.values()
    assert shop == WebhookSection(
        url=f"https://shop.example/{PATH}",
        events=("TaskDone", "TaskFailed"),
        types=("image.*", "resize"),
        queues=("default",),
    )
    assert log.events == ("TaskDone", "TaskFailed", "TaskCancelled")
    assert loaded.origins["outbound.webhooks.shop.url"] == "supervisor.toml:3"
    assert loaded.origins["outbound.webhooks.log.secret"] == "default"


def test_its_secret_comes_from_a_private_file(folder: Path) -> None:
    """So do all its other values, when an operator likes."""
    secret, url = folder / "secret", folder / "url"
    for path, text in ((secret, SECRET), (url, "https://other.example/x")):
        path.touch(mode=0o600)
        path.write_text(text)

    loaded = read(
        folder,
        environ={
            "Outbound__Webhooks__Shop__Secret_FILE": str(secret),
            "OUTBOUND__WEBHOOKS__SHOP__URL_FILE": str(url),
            "Outbound__Webhooks__Of_Mine__Url": "https://mine.example",
            "Outbound__Webhooks__Of_Mine__Events": "TaskCreated, TaskProgress",
        },
    )

    hooks = loaded.config.outbound.webhooks
    assert hooks["shop"].secret.reveal() == SECRET
    assert hooks["shop"].url == "https://other.example/x"
    assert hooks["of-mine"].events == ("TaskCreated", "TaskProgress")


def test_neither_the_secret_nor_the_path_of_the_url_is_shown(folder: Path) -> None:
    """Many a receiver's address is its only password."""
    old = read(folder, environ={"Outbound__Webhooks__Shop__Secret": SECRET}).config
    new = read(folder, SHOP.replace("T000", "T001"), {}).config

    eyes = [shown(key, value_of(old, key)) for key in all_keys(old)]
    told = [str(change) for change in changes(old, new)]

    url = "https://shop.example/..."
    assert told == [
        f"outbound.webhooks.shop.url: {url} -> {url} (in-place)",
        "outbound.webhooks.shop.secret: *** -> (empty) (another) (in-place)",
    ]
    for text in (repr(old.outbound.webhooks["shop"].secret), *eyes, *told):
        assert SECRET not in text
        assert PATH not in text


@pytest.mark.parametrize(
    ("url", "eyes"),
    [
        ("http://a.example:8080/x/y", "http://a.example:8080/..."),
        ("https://a.example?token=x", "https://a.example/..."),
        ("https://a.example", "https://a.example"),
        ("", ""),
    ],
)
def test_of_an_address_the_host_is_shown(url: str, eyes: str) -> None:
    """Enough to see a slip, too little to call it."""
    key = next(iter(named_keys("outbound", "shop")))

    assert shown(key, url) == eyes


def test_a_webhook_comes_and_goes_with_a_reload(folder: Path) -> None:
    """Each change is named; what is there no more is empty."""
    with_it, without = read(folder).config, read(folder, "").config

    assert {change.how for change in changes(without, with_it)} == {How.IN_PLACE}
    assert [change.key for change in changes(with_it, without)] == [
        f"outbound.webhooks.shop.{name}" for name in ("url", "events", "types", "queues")
    ]


def test_who_needs_no_secret_is_told_none(folder: Path) -> None:
    """What makes deliveries knows the filters, what sends them the secrets."""
    config = read(folder, environ={"Outbound__Webhooks__Shop__Secret": SECRET}).config

    whole, without = snapshot.encode(config), snapshot.encode(config, ("outbound",))

    assert snapshot.decode(whole) == config
    assert SECRET.encode() not in without
    hook = snapshot.decode(without).outbound.webhooks["shop"]
    assert (hook.types, hook.secret) == (("image.*", "resize"), Secret(""))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[outbound.webhooks.Shop]\nurl = "https://a.example"',
            "supervisor.toml:2: outbound.webhooks.Shop.url: expected a name of small letters",
        ),
        (
            "[outbound.webhooks.shop]\nevents = ['TaskDone']",
            "outbound.webhooks.shop.url: expected http:// or https://, a host, and no user",
        ),
        (
            '[outbound.webhooks.shop]\nurl = "https://ada:secret@a.example"',
            "supervisor.toml:2: outbound.webhooks.shop.url: expected http:// or https://, a host",
        ),
        (SHOP.replace("TaskFailed", "TaskFaild"), "supervisor.toml:4: outbound.webhooks.shop.ev"),
        (SHOP.replace('"TaskDone", "TaskFailed"', ""), "supervisor.toml:4: outbound.webhooks.sho"),
        (SHOP.replace("image.*", "ima*ge"), "supervisor.toml:5: outbound.webhooks.shop.types: exp"),
        (SHOP.replace('["default"]', '["def*"]'), "supervisor.toml:6: outbound.webhooks.shop.que"),
        (SHOP + 'secret = "short"', "supervisor.toml:7: outbound.webhooks.shop.secret: expected w"),
        (SHOP + "secrets = 1", "supervisor.toml:7: outbound.webhooks.shop.secrets: unknown key; d"),
        ("[outbound]\nwebhooks = 1", "supervisor.toml:2: outbound.webhooks: unknown key; known in"),
        ("[outbound.webhooks]\nshop = 1", "supervisor.toml:2: outbound.webhooks.shop: unknown key"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_the_rule(folder: Path, text: str, said: str) -> None:
    """By the line, and with no word of a secret."""
    (path := folder / "supervisor.toml").touch(mode=0o600)
    (only,) = problems(folder, text)

    assert only.startswith(said)
    assert "secret@" not in only
    path.unlink()


def test_a_configuration_that_tells_nobody_is_doubted(folder: Path) -> None:
    """It may be right: some other process does the rest."""
    said = list(doubts(read(folder).config, "tree"))
    queues = read(folder, SHOP + '[work]\nqueues = ["images"]\n').config
    alone = read(folder, SHOP + '[units]\nworker = ["store", "pool"]\n').config

    assert said == []
    assert [text.partition(":")[0] for text in doubts(queues, "worker")] == [
        "work.queues does not name webhooks"
    ]
    assert [text.partition(":")[0] for text in doubts(alone, "worker")] == [
        "the unit worker has no webhooks"
    ]
    assert list(doubts(alone, "api")) == list(doubts(Config(), "tree")) == []


def test_their_number_is_bounded(folder: Path) -> None:
    """Each is a label of metrics, and a look at every event."""
    many = "".join(f'[outbound.webhooks.w{n}]\nurl = "https://a.example"\n' for n in range(33))

    assert problems(folder, many) == ["outbound.webhooks: expected at most 32 webhooks"]


def test_every_key_of_a_webhook_is_documented() -> None:
    """As those of all other sections are."""
    text = (Path(__file__).parents[3] / "docs/webhooks.md").read_text()

    for key in named_keys("outbound", "NAME"):
        assert f"| `{key.name.rpartition('.')[2]}` |" in text
    assert Config().outbound.webhooks == {}
