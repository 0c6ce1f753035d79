"""The append on PostgreSQL: one function that queues up, numbers the streams, builds entries and leaves.

Rules:
- constraints that were deferred are checked first: whatever such a check has to wait for, nobody waits behind it;
- the head is the last entry itself. Appends queue behind the lock of a table without columns, which only its owner may lock; the
  end of the transaction lets it go after what was written is visible, so the next one reads it (READ COMMITTED: each statement
  of the function has a snapshot of its own); keys refuse what an older snapshot would write a second time;
- after the append only COMMIT follows: a client that is gone is cut off, so that it does not hold up the others;
- the commit of an append does not wait for the disk while others wait for the lock: the lock is gone first, then `pressmark_settle`
  waits, and the disk writes what many have committed at once; nobody is told before that that an act is done;
- time goes back for nothing but a unit that is one `ledger.clock_corrected`; the kind is read from the event's own bytes here, and
  only when the clock is behind the last entry, so that an append pays nothing for it;
- the functions are SECURITY DEFINER and find nothing but what is PostgreSQL's own or named with its schema. Where the application
  has a role of its own, that role may call them and read the ledger, and may never write a table of it.
"""

from __future__ import annotations

from django.conf import settings
from django.db import connections

CLOCK_KIND = "ledger.clock_corrected"
CLOCK = """to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
GONE_SECONDS = 30
_QUEUE_UP = """
    SET CONSTRAINTS ALL IMMEDIATE;
    LOCK TABLE {schema}.pressmark_queue IN EXCLUSIVE MODE;
    SET LOCAL idle_in_transaction_session_timeout = '{gone_seconds}s';
"""
_APPEND = r"""
CREATE OR REPLACE FUNCTION {schema}.pressmark_append(streams text[], events text[])
RETURNS TABLE (out_position bigint, out_leaf bytea, out_at text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $append$
DECLARE
    next_position bigint;
    unit_at text;
    last_at text;
    number bigint;
    body bytea;
    hash bytea;
BEGIN
    SET LOCAL synchronous_commit = off;
    {queue_up}
    SELECT e.position + 1, e.at INTO next_position, last_at FROM {schema}.audit_entry e ORDER BY e.position DESC LIMIT 1;
    next_position := COALESCE(next_position, 0);
    unit_at := {clock};
    IF unit_at < last_at COLLATE "C" THEN
        IF array_length(events, 1) <> 1 OR (events[1]::jsonb ->> 'kind') IS DISTINCT FROM '{clock_kind}' THEN
            unit_at := last_at;
        END IF;
    END IF;
    FOR i IN 1 .. array_length(streams, 1) LOOP
        SELECT COALESCE(MAX(e.stream_seq), 0) + 1 INTO number FROM {schema}.audit_entry e WHERE e.stream = streams[i];
        body := convert_to(
            '{{"at":"' || unit_at || '","event":' || events[i] || ',"stream":"' || streams[i]
            || '","stream_seq":' || number || ',"v":1}}', 'UTF8'
        );
        hash := sha256(decode('00', 'hex') || body);
        INSERT INTO {schema}.audit_entry (position, stream, stream_seq, at, entry, leaf)
            VALUES (next_position, streams[i], number, unit_at, body, hash);
        out_position := next_position; out_leaf := hash; out_at := unit_at;
        RETURN NEXT;
        next_position := next_position + 1;
    END LOOP;
END
$append$
"""
_HOLD = r"""
CREATE OR REPLACE FUNCTION {schema}.pressmark_hold_head() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $hold$
BEGIN
    {queue_up}
    RETURN (SELECT COALESCE(MAX(e.position) + 1, 0) FROM {schema}.audit_entry e);
END
$hold$
"""
_SETTLE = r"""
CREATE OR REPLACE FUNCTION {schema}.pressmark_settle() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $settle$
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        SET LOCAL synchronous_commit = on;
    END IF;
    PERFORM pg_logical_emit_message(true, 'pressmark', '');
END
$settle$
"""
_FUNCTIONS = {
    "pressmark_hold_head()": _HOLD,
    "pressmark_append(text[], text[])": _APPEND,
    "pressmark_settle()": _SETTLE,
}


def install(using: str) -> None:
    """Create the functions, and take the ledger's tables away from the application's role where there is one."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        return
    role = settings.PRESSMARK_DATABASE_APP_ROLE
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        schema = connection.ops.quote_name(cursor.fetchone()[0])
        queue_up = _QUEUE_UP.format(schema=schema, gone_seconds=GONE_SECONDS).strip()
        words = {"schema": schema, "clock": CLOCK, "clock_kind": CLOCK_KIND, "queue_up": queue_up}
        cursor.execute(f"CREATE TABLE IF NOT EXISTS {schema}.pressmark_queue ()")
        for name, text in _FUNCTIONS.items():
            cursor.execute(f"DROP FUNCTION IF EXISTS {schema}.{name}")
            cursor.execute(text.format(**words))
            cursor.execute(f"REVOKE ALL ON FUNCTION {schema}.{name} FROM PUBLIC")
        if role:
            name = connection.ops.quote_name(role)
            ledger = f"{schema}.audit_entry, {schema}.pressmark_queue"
            cursor.execute(f"GRANT USAGE ON SCHEMA {schema} TO {name}")
            cursor.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {name}")
            cursor.execute(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {name}")
            cursor.execute(f"REVOKE ALL ON {ledger} FROM {name}")
            cursor.execute(f"GRANT SELECT ON {ledger} TO {name}")
            for function in _FUNCTIONS:
                cursor.execute(f"GRANT EXECUTE ON FUNCTION {schema}.{function} TO {name}")
