"""Looks at a PostgreSQL server: what would stop, slow or lose our work there; changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg

from taskhub.cli.doctor.finding import Finding, fail, ok, warn
from taskhub.config.sections import Config
from taskhub.store.postgres.session import Address, Connection
from taskhub.store.schema import metadata

NEEDED = 160_000
"""The oldest server that knows all we say to it, as `server_version_num` has it."""
PROCESS = 6
"""Connections that one process may open."""
SLOW = 0.05  # seconds of a round trip: a transaction has about ten
LONG = 900.0  # seconds of a transaction: what it may still see cannot be vacuumed
MANY, SHARE = 10_000, 0.5  # dead rows, and their part of the living ones
FROZEN_SOON = 1_000_000_000  # transactions; at 2,147 million the server stops
APART = 5.0  # seconds between two clocks

SETTINGS = """
SELECT name, setting FROM pg_settings WHERE name IN ('server_version', 'server_version_num',
  'fsync', 'full_page_writes', 'autovacuum', 'synchronous_standby_names')
"""
CONNECTIONS = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
       current_setting('max_connections')::int
       - current_setting('superuser_reserved_connections')::int
       - coalesce(current_setting('reserved_connections', true), '0')::int
"""
STANDBYS = """
SELECT count(*), count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) FROM pg_stat_replication
"""
SEES_ALL = "SELECT pg_has_role('pg_read_all_stats', 'usage')"
OLDEST = """
SELECT age, who FROM (
  SELECT extract(epoch FROM clock_timestamp() - xact_start)::float AS age,
         format('pid %s (%s of %s)', pid, nullif(application_name, ''), usename) AS who
  FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
  UNION ALL
  SELECT extract(epoch FROM clock_timestamp() - prepared)::float,
         format('prepared transaction %s', gid)
  FROM pg_prepared_xacts WHERE database = current_database()
) AS found WHERE age IS NOT NULL ORDER BY age DESC LIMIT 1
"""
DEAD = """
SELECT relname, n_live_tup, n_dead_tup FROM pg_stat_user_tables
WHERE relname = ANY(%s) AND n_dead_tup > %s AND n_dead_tup > %s * n_live_tup
ORDER BY n_dead_tup DESC
"""
FROZEN = "SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database()"
INDEXES = """
SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_class t ON t.oid = i.indrelid WHERE t.relname = ANY(%s)
"""
CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float"


def look(config: Config, *, is_newest: bool) -> Iterator[Finding]:
    """Every finding of the server that `[store] url` names, which has answered before.

    Which indexes there should be is known of the newest schema alone.
    """
    address = Address(config.store.url, config.store.password.reveal())
    try:
        with closing(address.connect("taskhub-doctor", config.store.lock_timeout)) as line:
            yield from _looked(line)
            if is_newest:
                yield _indexes(line)
    except psycopg.Error as error:
        text = f"it did not answer to the end: {type(error).__name__}"
        yield fail("database server", text, "its own log says why; then taskhub doctor once more")


def _looked(line: Connection) -> Iterator[Finding]:
    known: dict[str, str] = dict(line.execute(SETTINGS).fetchall())
    yield _version(line, known)
    yield _connections(line)
    yield _durability(line, known)
    yield _oldest(line)
    yield from _vacuum(line, known)
    yield _clock(line)


def _one(line: Connection, text: str) -> Any:
    row = line.execute(text).fetchone()
    assert row is not None, "each of these has one row"
    return row


def _version(line: Connection, known: dict[str, str]) -> Finding:
    began = time.perf_counter()
    (is_standby,) = _one(line, "SELECT pg_is_in_recovery()")
    took = time.perf_counter() - began
    text = f"PostgreSQL {known['server_version']}, answers in {took * 1000:.1f} ms"
    if int(known["server_version_num"]) < NEEDED:
        return fail(
            "database server", f"{text}: too old", "PostgreSQL 16 or newer (docs/postgresql.md)"
        )
    if is_standby:
        fix = "[store] url of the primary, or target_session_attrs=read-write with both hosts"
        return fail("database server", f"{text}: a standby, which takes no writes", fix)
    if took > SLOW:
        return warn(
            "database server", f"{text}: each task takes some of these", "a server that is nearer"
        )
    return ok("database server", text)


def _connections(line: Connection) -> Finding:
    used, most = _one(line, CONNECTIONS)
    text = f"{used} of {most} are in use"
    if most - used < PROCESS:
        fix = f"a higher max_connections, or fewer processes (each takes up to {PROCESS})"
        return warn("connections", f"{text}: no room for one more process", fix)
    return ok("connections", text)


def _durability(line: Connection, known: dict[str, str]) -> Finding:
    """Our own connections set `synchronous_commit`; what is below it is the server's."""
    off = [name for name in ("fsync", "full_page_writes") if known[name] == "off"]
    if off:
        text = f"{' and '.join(off)} off: after a crash of its machine tasks may be missing"
        return warn("durability", text, f"{off[0]} = on in postgresql.conf, then reload it")
    wanted = known["synchronous_standby_names"]
    standbys, in_step = _one(line, STANDBYS)
    if wanted and not in_step and _one(line, SEES_ALL)[0]:
        text = f"synchronous_standby_names = {wanted}, and none is there: each commit waits"
        return fail("durability", text, "start the standby, or take the name out and reload")
    return ok("durability", f"commits are flushed; {standbys} standbys, {in_step} of them in step")


def _oldest(line: Connection) -> Finding:
    """What such a transaction may still see stays in the tables, and claims step over it."""
    row = line.execute(OLDEST).fetchone()
    age, who = row or (0.0, "")
    if age > LONG:
        text = f"{who} has been open for {age / 60:.0f} minutes: nothing since can be vacuumed"
        fix = "end what it does: SELECT pg_terminate_backend(PID), or ROLLBACK PREPARED"
        return warn("transactions", text, fix)
    seen = "" if _one(line, SEES_ALL)[0] else " that this account may see (GRANT pg_read_all_stats)"
    return ok("transactions", f"the oldest is {age:.0f} s old{seen}")


def _vacuum(line: Connection, known: dict[str, str]) -> Iterator[Finding]:
    if known["autovacuum"] == "off":
        yield warn("autovacuum", "off: tables only grow", "autovacuum = on in postgresql.conf")
    tables = line.execute(DEAD, [list(metadata.tables), MANY, SHARE]).fetchall()
    for name, living, dead in tables:
        text = f"{name}: {dead} dead rows beside {living}"
        yield warn("dead rows", text, f'VACUUM (ANALYZE) "{name}"; what keeps it from being done?')
    if not tables:
        yield ok("dead rows", "vacuum keeps up")
    (age,) = _one(line, FROZEN)
    if age > FROZEN_SOON:
        text = f"{age} transactions since the last freeze; at 2,147 million the server stops"
        yield fail("frozen rows", text, "VACUUM FREEZE, as its owner, at once")


def _indexes(line: Connection) -> Finding:
    """Without one of them everything works, and slower with each task."""
    found: dict[str, bool] = dict(line.execute(INDEXES, [list(metadata.tables)]).fetchall())
    wanted = {str(index.name) for table in metadata.tables.values() for index in table.indexes}
    if missing := sorted(wanted - found.keys()):
        fix = "taskhub db sql --database postgresql has the statement that makes it"
        return fail("indexes", f"not there: {', '.join(missing)}", fix)
    if broken := sorted(name for name, is_valid in found.items() if not is_valid):
        return fail("indexes", f"not valid: {', '.join(broken)}", f'REINDEX INDEX "{broken[0]}"')
    return ok("indexes", f"{len(wanted)}, all there")


def _clock(line: Connection) -> Finding:
    """Leases and due times are by its clock, tokens and logs by ours."""
    before = time.time()
    (theirs,) = _one(line, CLOCK)
    apart = theirs - (before + time.time()) / 2
    text = f"{abs(apart):.1f} s {'ahead of' if apart > 0 else 'behind'} this machine's"
    if abs(apart) > APART:
        return warn("database clock", text, "have both follow NTP: timedatectl set-ntp true")
    return ok("database clock", text)
