"""The accepted configuration as bytes, for child processes: they hold its secrets readable."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from taskhub.config.keys import NAMED, keys, tables_of
from taskhub.config.sections import Config, Secret


def encode(config: Config, without_secrets_of: Collection[str] = ()) -> bytes:
    """The whole configuration; the secrets of these sections are left empty.

    The bytes hold the other secrets readable: they go through a pipe or a private file, never
    into a command line, a log or the environment.
    """
    return msgspec.msgpack.encode(without_secrets(config, without_secrets_of), enc_hook=_revealed)


def decode(data: bytes) -> Config:
    """The configuration that `encode` was given; raises msgspec.DecodeError on other bytes."""
    return msgspec.msgpack.decode(data, type=Config, dec_hook=_secret)


def without_secrets(config: Config, of: Collection[str]) -> Config:
    """The same configuration without the secrets of these sections."""
    emptied: dict[str, Any] = {}
    for key in keys().values():
        if key.is_secret and key.section in of:
            section = emptied.get(key.section, getattr(config, key.section))
            emptied[key.section] = msgspec.structs.replace(section, **{key.name: Secret("")})
    for section in NAMED.keys() & set(of):
        whole = emptied.get(section, getattr(config, section))
        tables = {name: _emptied(table) for name, table in tables_of(config, section).items()}
        emptied[section] = msgspec.structs.replace(whole, **{NAMED[section][0]: tables})
    return msgspec.structs.replace(config, **emptied)


def _emptied(table: msgspec.Struct) -> msgspec.Struct:
    """The same without its secrets."""
    found = [field.name for field in msgspec.structs.fields(table) if field.type is Secret]
    return msgspec.structs.replace(table, **dict.fromkeys(found, Secret("")))


def _revealed(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} is no part of a configuration")


def _secret(kind: type, value: Any) -> Any:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError(f"no {kind.__name__}")
