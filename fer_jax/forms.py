"""Whether JSON that a person or a disk may have changed still has the form that its reader goes by."""

from typing import Any

ANY = "*"
"""As a key of a form: every key."""

Form = Any
"""A type (float takes whole numbers too, and a bool is no number), None, (one form or another,), [the form of each],
{key that must be there: its form}."""


def misfit(value: Any, form: Form, place: str = "") -> str | None:
    """The first place where a value does not have a form, as 'data.name' ('' is all of it); None where it has it."""
    if isinstance(form, tuple):
        return None if any(misfit(value, one, place) is None for one in form) else place
    if isinstance(form, list):
        if not isinstance(value, list):
            return place
        return next((place for one in value if misfit(one, form[0], place) is not None), None)
    if isinstance(form, dict):
        if not isinstance(value, dict):
            return place
        for key, inner in form.items():
            for name in value if key == ANY else (key,):
                path = f"{place}.{name}" if place else name
                found = misfit(value[name], inner, path) if name in value else path
                if found is not None:
                    return found
        return None
    if form is None:
        return None if value is None else place
    kinds = (int, float) if form is float else form
    return None if isinstance(value, kinds) and (form is bool or not isinstance(value, bool)) else place
