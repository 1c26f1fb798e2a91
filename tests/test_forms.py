"""JSON that has a form, and where it has not; what is told of it in one line."""

import pytest

from fer_jax.errors import ConfigError, UserError, note, printable
from fer_jax.forms import ANY, misfit
from fer_jax.members import MOST, make_members

FORM = {"name": str, "count": int, "best": (None, {"rate": float}), "seeds": [int], "curve": {ANY: [float]}}
GOOD = {"name": "a", "count": 1, "best": None, "seeds": [1, 2], "curve": {"x": [1, 2.5], "": []}, "more": object()}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({}, None),
        ({"best": {"rate": 1}}, None),
        ({"name": 1}, "name"),
        ({"count": True}, "count"),
        ({"count": 1.0}, "count"),
        ({"best": {"rate": "1"}}, "best"),
        ({"best": {}}, "best"),
        ({"seeds": [1, None]}, "seeds"),
        ({"seeds": {}}, "seeds"),
        ({"curve": {"x": [True]}}, "curve.x"),
        ({"curve": {"": 3}}, "curve."),
        ({"curve": []}, "curve"),
    ],
)
def test_the_first_place_that_does_not_fit(change, place):
    assert misfit({**GOOD, **change}, FORM) == place


def test_what_is_missing_or_nothing_at_all():
    assert misfit({key: value for key, value in GOOD.items() if key != "seeds"}, FORM) == "seeds"
    assert misfit([GOOD], FORM) == "" and misfit(None, FORM) == ""


def test_a_note_is_one_line_that_no_terminal_obeys(capsys):
    note("a\nb \x1b[31m \u202e \ud800")
    assert capsys.readouterr().err == "fer_jax: a\\nb \\x1b[31m \\u202e \\ud800\n"
    note(f"begins {'x' * 5000} ends")
    said = capsys.readouterr().err
    assert said.startswith("fer_jax: begins xxx") and said.endswith("xxx ends\n") and len(said) < 1000
    assert printable("plain ä") == "plain ä"


def test_more_members_than_can_be_are_refused_before_they_are_made():
    assert len(make_members(0, MOST, {})) == MOST
    for seeds, vary in ((2**31 - 1, {}), (MOST // 2 + 1, {"model.dropout": (0.0, 0.1)})):
        with pytest.raises(
            ConfigError, match=r"config\.num_seeds times the combinations of config\.vary must be at most"
        ):
            make_members(0, seeds, vary)


def test_a_line_of_other_members_is_told():
    assert make_members(0, 2, {}).line_of({"epoch": 1, "loss": [1.0, 2.0]}, 1) == {"epoch": 1, "loss": 2.0}
    with pytest.raises(UserError, match="'loss' has 1 entries, and the run 2 members"):
        make_members(0, 2, {}).line_of({"loss": [1.0]}, 1)
