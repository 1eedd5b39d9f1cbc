"""Environment and credentials: what an operator of .NET services expects, and no secret shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskhub.config import environment
from taskhub.config.keys import Key, keys
from taskhub.config.load import load
from taskhub.errors import ConfigError

KEY = "canary-3f9a-canary-3f9a-canary-3f9a"


def problems(environ: dict[str, str]) -> list[str]:
    """What is said about these variables."""
    with pytest.raises(ConfigError) as caught:
        load(None, environ)
    return [problem.detail for problem in caught.value.problems]


@st.composite
def spelled(draw: st.DrawFn, key: Key) -> str:
    """One of the many ways to write a key as a variable."""

    def part(name: str) -> str:
        letters = [draw(st.sampled_from((c, c.upper()))) for c in name.replace("_", "")]
        cut = draw(st.integers(1, len(letters)))
        joint = draw(st.sampled_from(("", "_"))) if cut < len(letters) else ""
        return "".join(letters[:cut]) + joint + "".join(letters[cut:])

    prefix = draw(st.sampled_from(("", "TASKHUB__", "TaskHub__")))
    return f"{prefix}{part(key.section)}__{part(key.name)}"


@given(data=st.data(), key=st.sampled_from(list(keys().values())))
def test_case_and_underscores_do_not_matter(data: st.DataObject, key: Key) -> None:
    """`Jwt__IssuerSigningKey`, `JWT__ISSUER_SIGNING_KEY`: one key."""
    name = data.draw(spelled(key))

    layer = environment.read({name: "x"})

    assert [item.key for item in layer.settings] == [key]
    assert not layer.problems


@pytest.mark.parametrize(
    ("name", "value", "key", "expected"),
    [
        ("Http__Port", "9100", "http.port", 9100),
        ("TASKHUB__HTTP__PORT", "9100", "http.port", 9100),
        ("Work__Lease", "7.5", "work.lease", 7.5),
        ("Http__AccessLog", "True", "http.access_log", True),
        ("Work__Handlers", "shop.tasks, mail", "work.handlers", ("shop.tasks", "mail")),
        ("Work__Queues", "", "work.queues", ()),
        ("Logs__Level", "Warning", "logs.level", "warning"),
        ("Jwt__Authority", "https://id.example.com", "jwt.authority", "https://id.example.com"),
        ("Redis__Password", " with blanks ", "redis.password", " with blanks "),
        ("Units__Tree", "store,metrics", "units.tree", ("store", "metrics")),
    ],
)
def test_a_variable_sets_its_key(name: str, value: str, key: str, expected: object) -> None:
    """Texts become what the key takes; a secret stays as it is, blanks and all."""
    loaded = load(None, {name: value})

    section, _, last = key.partition(".")
    found = getattr(loaded.config, section)
    got = found[last] if section == "units" else getattr(found, last)
    assert getattr(got, "reveal", lambda: got)() == expected
    assert loaded.origins[key] == name


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(folder: Path) -> None:
    """Nearer to the start of the process is stronger."""
    (folder / "supervisor.toml").write_text("[http]\nport = 1001\nmax_body = 2048\n[work]\nlease=9")
    environ = {"Http__Port": "1002", "Http__MaxBody": "4096"}

    loaded = load(None, environ, {"http.port": "1003"})

    assert (loaded.config.http.port, loaded.origins["http.port"]) == (1003, "command line")
    assert (loaded.config.http.max_body, loaded.origins["http.max_body"]) == (4096, "Http__MaxBody")
    assert loaded.config.work.lease == 9


def test_a_mistake_on_the_command_line_is_named(folder: Path) -> None:
    """The third place is checked like the others."""
    with pytest.raises(ConfigError) as caught:
        load(None, {}, {"http.prot": "1", "htp.port": "1", "http.port": "many"})

    assert [problem.detail for problem in caught.value.problems] == [
        "command line: http.prot: unknown key; did you mean http.port?",
        "command line: htp.port: unknown section; did you mean [http]?",
        "command line: http.port: expected a whole number from 0 to 65535, not many",
    ]


def test_foreign_variables_are_left_alone() -> None:
    """A machine has many names with two underscores."""
    environ = {"__CF_USER_TEXT_ENCODING": "x", "Serilog__Level": "x", "_A__B": "x", "PATH": "/bin"}

    loaded = load(None, environ)

    assert set(loaded.origins.values()) <= {"default"} | {
        origin for origin in loaded.origins.values() if "supervisor.toml" in origin
    }
    assert loaded.warnings == ()


def test_a_slip_in_a_section_is_doubted_aloud() -> None:
    """Foreign by the rule, but it looks like ours."""
    loaded = load(None, {"Jtw__Audience": "x"})

    assert loaded.warnings == (
        "Jtw__Audience is not ours and is ignored: did you mean jwt__Audience?",
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Http__Prot", "Http__Prot: unknown key; did you mean http.port?"),
        ("Jwt__SigningKey", "Jwt__SigningKey: unknown key; did you mean jwt.issuer_signing_key?"),
        ("Http__", "Http__: unknown key; known: host"),
        ("TASKHUB__HTP__PORT", "TASKHUB__HTP__PORT: unknown section; did you mean [http]?"),
        ("Http__Port__0", "Http__Port__0: unknown key; did you mean http.port?"),
        ("Http__Prot_FILE", "Http__Prot_FILE: unknown key"),
        ("Units__", "Units__: unknown key"),
    ],
)
def test_an_unknown_key_of_ours_is_an_error(name: str, said: str) -> None:
    """A setting that does nothing is worse than none."""
    (only,) = problems({name: "1"})

    assert only.startswith(said)


def test_two_variables_that_differ_are_an_error() -> None:
    """Which of them wins would depend on their spelling."""
    (only,) = problems({"HTTP__PORT": "1", "Http__Port": "2"})

    assert only == "http.port: HTTP__PORT and Http__Port differ: keep one"


def test_two_variables_that_agree_are_none() -> None:
    """Doubling is no contradiction."""
    loaded = load(None, {"HTTP__PORT": "81", "TASKHUB__HTTP__PORT": "81"})

    assert loaded.config.http.port == 81


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"%s", KEY),
        (b"%s\n", KEY),
        (b"%s\r\n", KEY),
        (b"%s\n\n", f"{KEY}\n"),
    ],
)
def test_a_file_variable_gives_the_files_content_without_one_newline(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    """Editors end files with a newline; a secret may end with one too."""
    path = tmp_path / "secret"
    path.write_bytes(content % KEY.encode())
    path.chmod(0o600)

    loaded = load(None, {"Jwt__IssuerSigningKey_FILE": str(path)})

    assert loaded.config.jwt.issuer_signing_key.reveal() == expected
    assert loaded.origins["jwt.issuer_signing_key"] == "Jwt__IssuerSigningKey_FILE"


def test_any_key_may_come_from_a_file(tmp_path: Path) -> None:
    """Not only secrets are mounted as files."""
    path = tmp_path / "port"
    path.write_text("9200\n")

    assert load(None, {"HTTP__PORT_file": str(path)}).config.http.port == 9200


def test_a_secret_file_that_others_may_read_is_refused(public: Path) -> None:
    """The setting is named, the secret is not."""
    path = public / "secret"
    path.write_text(KEY)
    path.chmod(0o644)

    (only,) = problems({"Jwt__IssuerSigningKey_FILE": str(path)})

    assert only == (
        "Jwt__IssuerSigningKey_FILE: jwt.issuer_signing_key: "
        f"others may read this secret: chmod o-r {path}"
    )


def test_a_secret_file_that_is_not_there_does_not_show_its_name() -> None:
    """Somebody has put the secret itself where its file's name belongs."""
    (only,) = problems({"Jwt__IssuerSigningKey_FILE": KEY})

    assert only == (
        "Jwt__IssuerSigningKey_FILE: jwt.issuer_signing_key: "
        "cannot be read: no such file or directory"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\xff\xfe", "the file is not UTF-8"), (b"x" * 70_000, "longer than 65536 bytes")],
)
def test_a_file_that_is_no_value_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    """A wrong path, most likely."""
    (tmp_path / "secret").write_bytes(content)

    (only,) = problems({"Redis__Password_FILE": str(tmp_path / "secret")})

    assert said in only


def test_a_variable_and_its_file_twin_that_differ_are_an_error(tmp_path: Path) -> None:
    """Which of them wins would have to be remembered."""
    path = tmp_path / "secret"
    path.write_text(KEY)
    path.chmod(0o600)

    found = problems({"Redis__Password": "other", "Redis__Password_FILE": str(path)})

    assert found == ["redis.password: Redis__Password and Redis__Password_FILE differ: keep one"]


def credentials(folder: Path, **files: str) -> dict[str, str]:
    """What systemd sets after LoadCredential=."""
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
        (folder / name.replace("__", ".")).chmod(0o400)
    return {"CREDENTIALS_DIRECTORY": str(folder)}


def test_systemd_credentials_are_read(tmp_path: Path) -> None:
    """The best place for a secret of a service."""
    environ = credentials(tmp_path, jwt__issuer_signing_key=f"{KEY}\n", Redis__Password="p")

    loaded = load(None, environ)

    assert loaded.config.jwt.issuer_signing_key.reveal() == KEY
    assert loaded.config.redis.password.reveal() == "p"
    assert loaded.origins["redis.password"] == "credential Redis.Password"


def test_a_variable_wins_over_a_credential(tmp_path: Path) -> None:
    """It is set by hand, for this start."""
    environ = {**credentials(tmp_path, redis__password="p"), "Redis__Password": "q"}

    assert load(None, environ).config.redis.password.reveal() == "q"


def test_foreign_credentials_are_left_alone_and_a_slip_is_not(tmp_path: Path) -> None:
    """A unit may load others for handlers."""
    environ = credentials(tmp_path, tls__key="x", plain="x", redis__pasword="x")

    (only,) = problems(environ)

    assert only == "credential redis.pasword: unknown key; did you mean redis.password?"


def test_a_credentials_directory_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Else the service would say that the key is missing."""
    (only,) = problems({"CREDENTIALS_DIRECTORY": str(tmp_path / "gone")})

    assert only == "CREDENTIALS_DIRECTORY: cannot be read: no such file or directory"
