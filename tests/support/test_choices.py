"""Names from outside, checked against those that are allowed."""

import pytest

from keras_poolformer.support.choices import check_choice, reject_unknown
from keras_poolformer.support.errors import InputError


def test_a_value_must_be_one_of_the_choices():
    check_choice("mode", "hf", ("timm", "hf"))
    check_choice("kind", None, ("a", None))
    for value in ("tim", ["hf"], {}, 1):
        with pytest.raises(InputError, match=r"`mode` must be one of timm, hf\. Received: "):
            check_choice("mode", value, ("timm", "hf"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dephts", "no field `dephts`. Did you mean 'depths'? Known: depths, widths"),
        ("dims", "no field `dims`. Did you mean 'widths'?"),
        ("a\nb", r"no field `a\nb`. Known"),
        (3, "no field `3`. Known"),
    ],
)
def test_an_unknown_name_is_rejected_with_the_closest(name, expected):
    with pytest.raises(InputError) as caught:
        reject_unknown(
            "it has no field", ["depths", name], ("depths", "widths"), {"dims": "widths"}
        )
    assert expected in str(caught.value)
