import pytest

from gc2l.names import unknown


@pytest.mark.parametrize(
    ("name", "hint"), [("gc21", "; did you mean 'gc2l' or 'gc'?"), ("dense", ""), (3, ""), ("", "")]
)
def test_near_names_are_offered_after_all(name, hint):
    error = unknown("variant", name, ("sc", "gc", "gc2l"))
    assert str(error) == f"variant={name!r} is unknown; choose one of 'sc', 'gc', 'gc2l'{hint}"
