"""The configuration file: every mistake is found, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from taskhub.config import file
from taskhub.config.load import load
from taskhub.config.sections import Config
from taskhub.errors import ConfigError

ROOT = Path(__file__).parents[3]
KEY = "k" * 32


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    """A configuration file in the folder."""
    path = folder / "supervisor.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def problems(text: str, folder: Path) -> list[str]:
    """What is said about a file with this text."""
    with pytest.raises(ConfigError) as caught:
        load(write(folder, text), {})
    return [problem.detail for problem in caught.value.problems]


def test_the_shipped_file_equals_the_defaults() -> None:
    """Whoever reads it must be able to believe each value."""
    loaded = load(ROOT / "supervisor.toml", {})

    assert loaded.config == Config()


def test_the_shipped_file_has_every_key() -> None:
    """A key that is not in it would never be found."""
    loaded = load(ROOT / "supervisor.toml", {})

    missing = [key for key, origin in loaded.origins.items() if origin == "default"]
    assert missing == []


def test_the_shipped_files_comments_stand_before_every_key() -> None:
    """Each key is explained where it stands, at most one other key lower."""
    lines = (ROOT / "supervisor.toml").read_text().splitlines()
    top = lines.index("[supervisor]")
    bare = [
        line
        for number, line in enumerate(lines)
        if number > top
        and "=" in line
        and not line.startswith(("#", " "))
        and not any(before.startswith("#") for before in lines[number - 2 : number])
    ]
    assert bare == []


def test_no_file_means_the_defaults(folder: Path) -> None:
    """TaskHub runs without any file."""
    loaded = load(None, {})

    assert loaded.config == Config()
    assert loaded.path is None
    assert set(loaded.origins.values()) == {"default"}


def test_a_value_of_the_file_knows_its_line(folder: Path) -> None:
    """`taskhub config` shows where to change it."""
    write(folder, "# first\n[http]\nhost = '0.0.0.0'\nport = 9000\n[work]\nlease = 20\n")

    loaded = load(None, {})

    assert loaded.config.http.port == 9000
    assert loaded.config.work.lease == 20.0
    assert loaded.origins["http.port"] == "supervisor.toml:4"
    assert loaded.origins["work.lease"] == "supervisor.toml:6"
    assert loaded.origins["http.max_body"] == "default"


def test_dotted_and_quoted_keys_know_their_line(folder: Path) -> None:
    """TOML has several ways to write one key."""
    write(folder, 'http.port = 9000\n[ "work" ]\n"lease" = 20\n')

    loaded = load(None, {})

    assert loaded.origins["http.port"] == "supervisor.toml:1"
    assert loaded.origins["work.lease"] == "supervisor.toml:3"


def test_a_unit_of_the_file_stands_beside_those_built_in(folder: Path) -> None:
    """Who adds one unit does not have to repeat the others."""
    write(folder, '[units]\ntree = ["store", "metrics", "unit:worker*4", "unit:api"]\n')

    units = load(None, {}).config.units

    assert units["tree"] == ("store", "metrics", "unit:worker*4", "unit:api")
    assert units["api"] == Config().units["api"]


def test_all_mistakes_are_listed_at_once(folder: Path) -> None:
    """Nobody mends a file one start at a time."""
    text = '[http]\nprot = 1\nport = 70000\n[wrok]\nlease = 5\n[work]\nconcurrency = "many"\n'

    assert problems(text, folder) == [
        "supervisor.toml:2: http.prot: unknown key; did you mean http.port?",
        "supervisor.toml:4: wrok: unknown section; did you mean [work]?",
        "supervisor.toml:3: http.port: expected a whole number from 0 to 65535, not 70000",
        "supervisor.toml:7: work.concurrency: expected a whole number from 1 to 10000, not many",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http = 5", "supervisor.toml:1: http: expected a table [http]"),
        ("[[http]]\nport = 1", "supervisor.toml: http: expected a table [http]"),
        ("port = 5", "supervisor.toml:1: port: unknown section; known: cors, events, "),
        ("[http]\nlevel = 'info'", "http.level: unknown key; did you mean logs.level?"),
        ("[http]\nzzz = 1", "http.zzz: unknown key; known: host, port, "),
        ("[http]\nport = true", "expected a whole number from 0 to 65535, not True"),
        ("[http]\nport = 80.5", "expected a whole number from 0 to 65535, not 80.5"),
        ("[http.port]\na = 1", "expected a whole number from 0 to 65535, not a table"),
        ("[http]\nhost = 5", "http.host: expected a text, not 5"),
        ("[http]\nmetrics_allow = [1]", "http.metrics_allow: expected a list of texts, not [1]"),
        ("[work]\nlease = nan", "expected a number from 1 to 3600, not nan"),
        ("[work]\nlease = 0", "expected a number from 1 to 3600, not 0"),
        ("[supervisor]\ngrace = -1", "expected a number over 0 to 31622400, not -1"),
        ("[logs]\nlevel = 'loud'", "one of debug, info, warning, error, not loud"),
        ("[events]\nchannel = ''", "expected a text of 1 to 100 characters, not "),
        ("[units]\ntree = 'store'", "units.tree: expected a list of texts, not store"),
        ("[http\nport = 1", "supervisor.toml:1:6: not TOML: "),
        ("[http]\nport = 1\nport = 2", "not TOML: cannot overwrite a value"),
        ("x = " + "[" * 5000, "supervisor.toml: nested too deeply"),
    ],
)
def test_a_wrong_line_says_what_was_expected(folder: Path, text: str, said: str) -> None:
    """The message alone must be enough to mend it."""
    (only,) = problems(text, folder)

    assert said in only


def test_a_long_wrong_value_is_cut_and_stays_on_one_line(folder: Path) -> None:
    """A message is a line of a log, whatever the file holds."""
    (only,) = problems(f'[http]\nport = "a\\n\\u001b[31m{"x" * 500}"', folder)

    assert len(only) < 200
    assert only.isprintable()


def test_a_file_that_is_not_there_is_named(folder: Path) -> None:
    """`--config` with a slip of the pen must not mean the defaults."""
    with pytest.raises(ConfigError, match=r"other\.toml: cannot be read: no such file"):
        load(folder / "other.toml", {})


def test_the_environment_may_name_the_file(folder: Path) -> None:
    """A service's unit sets it once."""
    (folder / "here.toml").write_text("[http]\nport = 9001\n")

    loaded = load(None, {"TASKHUB_CONFIG": "here.toml"})

    assert loaded.config.http.port == 9001
    assert loaded.path == folder / "here.toml"


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\xff\xfe[http]", "expected UTF-8, byte 0 is not"), (b"a = \x00", "not TOML")],
)
def test_a_file_of_other_bytes_is_refused(folder: Path, content: bytes, said: str) -> None:
    """A traceback tells an operator nothing."""
    (folder / "supervisor.toml").write_bytes(content)

    with pytest.raises(ConfigError, match=said):
        load(None, {})


def test_a_byte_order_mark_is_taken(folder: Path) -> None:
    """Some editors write one."""
    (folder / "supervisor.toml").write_bytes(b"\xef\xbb\xbf[http]\nport = 9000\n")

    assert load(None, {}).config.http.port == 9000


def test_a_folder_in_place_of_a_file_is_refused(folder: Path) -> None:
    """The same for every error of the system."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load(folder, {})


def test_a_file_with_a_secret_that_others_may_read_is_refused(public: Path) -> None:
    """The key of all tokens in a file of mode 644 is a hole, not a detail."""
    path = write(public, f'[jwt]\nissuer_signing_key = "{KEY}"\n', mode=0o644)

    with pytest.raises(ConfigError) as caught:
        load(path, {})

    assert "jwt.issuer_signing_key: others may read this secret: chmod o-r" in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_closed_folder_protects_the_secrets_in_it(public: Path) -> None:
    """Where nobody can come, the mode of the file means nothing."""
    path = write(public, f'[jwt]\nissuer_signing_key = "{KEY}"\n', mode=0o644)
    public.chmod(0o750)

    assert load(path, {}).config.jwt.issuer_signing_key.reveal() == KEY


def test_a_file_without_secrets_may_be_read_by_all(folder: Path) -> None:
    """Most files hold none."""
    write(folder, "[http]\nport = 9000\n", mode=0o644)

    assert load(None, {}).warnings == ()


def test_a_file_that_anybody_may_change_is_doubtful(folder: Path) -> None:
    """It names modules that are imported."""
    write(folder, "[http]\nport = 9000\n", mode=0o666)

    assert load(None, {}).warnings == (
        f"supervisor.toml: anybody may change this file: chmod o-w {folder / 'supervisor.toml'}",
    )


def test_lines_of_a_multiline_text_make_no_keys_of_their_own() -> None:
    """The first place a key stands at wins, whatever a text below looks like."""
    found = file.lines('[http]\nport = 1\nhost = """\nport = 2\n"""\n')

    assert found["http.port"] == 2
