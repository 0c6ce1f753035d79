"""Whether the bytes of an entry hold other bytes, decided in the database so that no other entry leaves it."""

from __future__ import annotations

from django.db.models import BooleanField, F, Func, Value


class Holds(Func):
    """`Holds(whole, part)` for columns of bytes, on both databases."""

    function = "INSTR"
    template = "(%(function)s(%(expressions)s) > 0)"
    output_field = BooleanField()

    def as_postgresql(self, compiler, connection, **context):  # type: ignore[no-untyped-def]
        """`POSITION(part IN whole)` names them the other way round than `INSTR(whole, part)`."""
        turned = self.copy()
        turned.set_source_expressions(self.get_source_expressions()[::-1])
        template = "(POSITION(%(expressions)s) > 0)"
        return turned.as_sql(compiler, connection, template=template, arg_joiner=" IN ", **context)


def entry_holds(text: str) -> Holds:
    """Whether the entry's bytes hold a text. Entries are canonical, so a member and its value stand in them in one way only."""
    return Holds(F("entry"), Value(text.encode()))
