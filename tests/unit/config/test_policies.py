"""`[policies]`: what a grant means, which slips are named, and that it is a section like others."""

from __future__ import annotations

from pathlib import Path

import pytest
from taskhub.config.diff import How, changes
from taskhub.config.load import load
from taskhub.config.policies import LIMIT, ROUTES, Grant, grant, rules
from taskhub.errors import ConfigError
from taskhub.http.openapi import described
from taskhub.http.routes import ROUTES as TABLE

GOOD = {
    "scope:tasks.read": Grant("tasks.read", is_scope=True),
    "scope:https://api.example/tasks:read": Grant("https://api.example/tasks:read", is_scope=True),
    "role:Task Creator": Grant("Task Creator", is_scope=False),
    "role:Größe:1": Grant("Größe:1", is_scope=False),
    "own scope:tasks.write": Grant("tasks.write", is_scope=True, own=True),
    "own  role:x": Grant("x", is_scope=False, own=True),
}
BAD = (
    ("tasks.write", "; did you mean scope:tasks.write or role:tasks.write?"),
    ("scope:", ""),
    ("role: Admin", ""),
    ("role:Admin ", ""),
    ("scope:a b", ""),
    ('scope:a"b', ""),
    ("role:a\nb", ""),
    ("scope:ä", ""),
    ("Scope:a", ""),
    ("ownscope:a", ""),
    (f"scope:{'a' * 256}", ""),
    ("", ""),
)


@pytest.mark.parametrize(("text", "meant"), GOOD.items(), ids=GOOD.keys())
def test_a_grant_is_read(text: str, meant: Grant) -> None:
    """Scopes as RFC 6749 has them, roles as identity providers have them."""
    assert grant(text) == meant
    assert list(rules({"getTask": (text,)})) == []


@pytest.mark.parametrize(("text", "hint"), BAD, ids=[ascii(text[:20]) for text, _ in BAD])
def test_a_slip_is_named_with_what_was_expected(text: str, hint: str) -> None:
    """A policy that nobody fits would lock everybody out, one that is misread would let them in."""
    ((key, said),) = rules({"getTask": (text,)})

    assert key == "policies.getTask"
    assert said.startswith("expected scope:NAME or role:NAME, not ")
    assert said.endswith(hint)
    assert said.isprintable()


def test_a_policy_lets_somebody_in_and_has_an_end() -> None:
    """Empty is a mistake; so is a list that grew out of hand."""
    said = dict(rules({"getTask": (), "listTasks": ("scope:a",) * (LIMIT + 1)}))

    assert "an empty policy would let nobody in" in said["policies.getTask"]
    assert f"at most {LIMIT}" in said["policies.listTasks"]


def test_own_is_for_routes_of_one_task() -> None:
    """A list of one's own tasks would be another query."""
    ((key, said),) = rules({"listTasks": ("own scope:tasks.read",)})

    assert (key, said) == (
        "policies.listTasks",
        (
            "own is for routes of one task "
            "(cancelTask, explainTask, getTask, retryTask, taskAttempts, taskEvents)"
        ),
    )


def test_every_guarded_route_of_the_table_has_a_name_here() -> None:
    """A new route is added to both, or no policy could be set for it."""
    guarded = {each.policy or each.name for each in described(TABLE) if each.access is not None}

    assert sorted(guarded) == sorted(ROUTES)


def file_of(folder: Path, text: str) -> Path:
    """A configuration file."""
    path = folder / "supervisor.toml"
    path.write_text(text)
    return path


def test_file_environment_and_command_line_set_policies(tmp_path: Path) -> None:
    """Each place as it is used to writing; the later one wins."""
    path = file_of(tmp_path, '[policies]\ncreateTask = ["role:a"]\ngetTask = ["scope:b"]\n')
    environ = {"Policies__CreateTask": "scope:c, role:d e", "POLICIES__RETRY_TASK": "role:f"}

    loaded = load(path, environ, {"policies.listTasks": "scope:g"})

    assert loaded.config.policies == {
        "createTask": ("scope:c", "role:d e"),
        "getTask": ("scope:b",),
        "retryTask": ("role:f",),
        "listTasks": ("scope:g",),
    }
    assert loaded.origins["policies.createTask"] == "Policies__CreateTask"
    assert loaded.origins["policies.getTask"].endswith("supervisor.toml:3")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('createTsk = ["role:a"]', "policies.createTsk: unknown key; did you mean policies.create"),
        ('create_task = ["role:a"]', "unknown key; did you mean policies.createTask?"),
        ('health = ["role:a"]', "unknown key; known: createTask, "),
        ("createTask = []", "policies.createTask: expected at least one of scope:NAME"),
        ('createTask = "role:a"', "policies.createTask: expected a list of texts, not role:a"),
        ('createTask = ["Admin"]', "did you mean scope:Admin or role:Admin?"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    """One line for each, none twice."""
    path = file_of(tmp_path, f"[policies]\n{text}\n")

    with pytest.raises(ConfigError) as raised:
        load(path, {})

    (problem,) = raised.value.problems
    assert "supervisor.toml:2: " in problem.detail
    assert said in problem.detail


def test_mistakes_of_the_other_places_are_named_too(tmp_path: Path) -> None:
    """A variable of our section, a word on the command line."""
    path = file_of(tmp_path, "")

    with pytest.raises(ConfigError) as raised:
        load(path, {"Policies__CreatTask": "role:a"}, {"policies.lisTasks": "role:a"})

    said = [problem.detail for problem in raised.value.problems]
    assert [("did you mean policies." in text) for text in said] == [True, True]


def test_a_policy_changes_in_place(tmp_path: Path) -> None:
    """Set, changed, and gone again."""
    first = load(file_of(tmp_path, '[policies]\ngetTask = ["role:a"]\n'), {}).config
    second = load(file_of(tmp_path, '[policies]\nlistTasks = ["role:b"]\n'), {}).config

    found = changes(first, second)

    assert {change.how for change in found} == {How.IN_PLACE}
    assert [str(change) for change in found] == [
        "policies.getTask: role:a -> (none) (in-place)",
        "policies.listTasks: (none) -> role:b (in-place)",
    ]
