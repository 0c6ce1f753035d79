"""The append on PostgreSQL: one function that locks the head, numbers the streams, builds entries and leaves.

Rules:
- constraints that were deferred are checked first: whatever such a check has to wait for, nobody waits behind it;
- the head is the last entry itself; appends queue behind one advisory lock, which the end of the transaction lets go only after
  what was written is visible, so the next one reads it (READ COMMITTED: each statement of the function has a snapshot of its own);
  the primary key refuses what a lock that somebody circumvents would let through;
- it is SECURITY DEFINER with a fixed search_path, and so is the one that only holds the head for the rest of a transaction;
- where the application has a role of its own, that role may call both and read the ledger, and may never write a table of it;
- the commit of an append does not wait for the disk while others wait for the lock: the lock is gone first, then `pressmark_settle`
  waits, and the disk writes what many have committed at once; nobody is told before that that an act is done;
- time goes back for nothing but a unit that is one `ledger.clock_corrected`; the kind is read from the event's own bytes here, and
  only when the clock is behind the last entry, so that an append pays nothing for it.
"""

from __future__ import annotations

from django.conf import settings
from django.db import connections

_LOCK = 0x5072_6573_736D_6172  # any number that nobody else locks in this database; this one reads "Pressmar"
CLOCK_KIND = "ledger.clock_corrected"
CLOCK = """to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
_FUNCTION = r"""
CREATE OR REPLACE FUNCTION pressmark_append(streams text[], events text[])
RETURNS TABLE (out_position bigint, out_leaf bytea, out_at text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $append$
DECLARE
    next_position bigint;
    unit_at text;
    last_at text;
    number bigint;
    body bytea;
    hash bytea;
BEGIN
    SET CONSTRAINTS ALL IMMEDIATE;
    SET LOCAL synchronous_commit = off;
    PERFORM pg_advisory_xact_lock({lock});
    SELECT e.position + 1, e.at INTO next_position, last_at FROM audit_entry e ORDER BY e.position DESC LIMIT 1;
    next_position := COALESCE(next_position, 0);
    unit_at := {clock};
    IF unit_at < last_at COLLATE "C" THEN
        IF array_length(events, 1) <> 1 OR (events[1]::jsonb ->> 'kind') IS DISTINCT FROM '{clock_kind}' THEN
            unit_at := last_at;
        END IF;
    END IF;
    FOR i IN 1 .. array_length(streams, 1) LOOP
        SELECT COALESCE(MAX(e.stream_seq), 0) + 1 INTO number FROM audit_entry e WHERE e.stream = streams[i];
        body := convert_to(
            '{{"at":"' || unit_at || '","event":' || events[i] || ',"stream":"' || streams[i]
            || '","stream_seq":' || number || ',"v":1}}', 'UTF8'
        );
        hash := sha256('\x00'::bytea || body);
        INSERT INTO audit_entry (position, stream, stream_seq, at, entry, leaf)
            VALUES (next_position, streams[i], number, unit_at, body, hash);
        out_position := next_position; out_leaf := hash; out_at := unit_at;
        RETURN NEXT;
        next_position := next_position + 1;
    END LOOP;
END
$append$
"""
_HOLD = r"""
CREATE OR REPLACE FUNCTION pressmark_hold_head() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $hold$
BEGIN
    SET CONSTRAINTS ALL IMMEDIATE;
    PERFORM pg_advisory_xact_lock({lock});
    RETURN (SELECT COALESCE(MAX(e.position) + 1, 0) FROM audit_entry e);
END
$hold$
"""
_SETTLE = r"""
CREATE OR REPLACE FUNCTION pressmark_settle() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $settle$
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        SET LOCAL synchronous_commit = on;
    END IF;
    PERFORM pg_logical_emit_message(true, 'pressmark', '');
END
$settle$
"""
_FUNCTIONS = ("pressmark_append(text[], text[])", "pressmark_hold_head()", "pressmark_settle()")
_LEDGER_TABLE = "audit_entry"


def install(using: str) -> None:
    """Create the functions, and take the ledger's tables away from the application's role where there is one."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        return
    role = settings.PRESSMARK_DATABASE_APP_ROLE
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        schema = connection.ops.quote_name(cursor.fetchone()[0])
        cursor.execute("DROP FUNCTION IF EXISTS pressmark_append(text[], text[])")
        cursor.execute(_FUNCTION.format(schema=schema, lock=_LOCK, clock=CLOCK, clock_kind=CLOCK_KIND))
        cursor.execute(_HOLD.format(schema=schema, lock=_LOCK))
        cursor.execute(_SETTLE.format(schema=schema))
        for function in _FUNCTIONS:
            cursor.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        if role:
            name = connection.ops.quote_name(role)
            cursor.execute(f"GRANT USAGE ON SCHEMA {schema} TO {name}")
            cursor.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {name}")
            cursor.execute(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {name}")
            cursor.execute(f"REVOKE ALL ON {_LEDGER_TABLE} FROM {name}")
            cursor.execute(f"GRANT SELECT ON {_LEDGER_TABLE} TO {name}")
            for function in _FUNCTIONS:
                cursor.execute(f"GRANT EXECUTE ON FUNCTION {function} TO {name}")
