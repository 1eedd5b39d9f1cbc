"""The container file: read, not built, since nothing here builds containers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from taskhub.config.environment import read

ROOT = Path(__file__).parents[3]
KNOWN = {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE"}
KNOWN |= {"STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}

Step = tuple[str, str]


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    """Every instruction with its words, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines if line]


def last(steps: list[Step], name: str) -> str:
    """The words of the instruction that counts."""
    return [words for step, words in steps if step == name][-1]


def test_every_instruction_is_one(steps: list[Step]) -> None:
    """A slip of the pen would be found by nobody until it is built."""
    assert {step for step, _ in steps} == KNOWN


def test_it_is_made_in_one_stage_and_runs_in_another(steps: list[Step]) -> None:
    """What builds does not run: the second stage takes the environment alone."""
    assert [words.split()[-1] for step, words in steps if step == "FROM"] == [
        "build",
        "python:${PYTHON}-slim",
    ]
    assert last(steps, "COPY") == "--from=build /opt/taskhub /opt/taskhub"


def test_what_it_copies_is_here_and_is_sent(steps: list[Step]) -> None:
    """.dockerignore leaves everything else out."""
    sent = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    copied = {
        name
        for step, words in steps
        if step == "COPY" and not words.startswith("--from")
        for name in words.split()[:-1]
    }

    assert copied == sent
    assert all((ROOT / name).exists() for name in copied)


def test_it_is_no_root_and_says_how_it_is(steps: list[Step]) -> None:
    """Its health is what `taskhub status` says of every process in it."""
    assert int(last(steps, "USER")) >= 1_000
    assert last(steps, "HEALTHCHECK").endswith('CMD ["taskhub", "status"]')
    assert (last(steps, "ENTRYPOINT"), last(steps, "CMD")) == ('["taskhub"]', '["run"]')


def test_its_variables_are_settings(steps: list[Step]) -> None:
    """Each is read, none is a slip; and no secret is among them."""
    pairs = dict(pair.split("=", 1) for pair in last(steps, "ENV").split())

    layer = read(pairs)

    assert (layer.problems, layer.warnings) == ([], ())
    assert {setting.origin for setting in layer.settings} == {n for n in pairs if "__" in n}
    assert not any(setting.key.is_secret for setting in layer.settings)
