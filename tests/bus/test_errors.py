import re

import pytest

from bus import errors
from bus.errors import LabelbusError, classes_by_code, reason


def parents_in(kind=LabelbusError):
    """Each error class below this one, with the name of its parent."""
    for sub in kind.__subclasses__():
        if sub.__module__ == errors.__name__:
            yield sub.__name__, kind.__name__
            yield from parents_in(sub)


def drawn():
    """The same, read from the tree in the module's docstring."""
    above: list[tuple[int, str]] = []
    for indent, name in re.findall(r"^([ │├└─]+)(\w+Error)\b", errors.__doc__ or "", re.MULTILINE):
        while above and above[-1][0] >= len(indent):
            above.pop()
        if above:
            yield name, above[-1][1]
        above.append((len(indent), name))


def test_the_drawn_tree_is_that_of_the_classes():
    assert dict(drawn()) == dict(parents_in())


def test_a_code_leads_to_the_class_that_introduced_it():
    classes = classes_by_code()
    assert classes["unavailable"] is errors.UnavailableError
    assert classes["stopping"] is errors.StoppingError
    assert classes["internal"] is LabelbusError
    assert all(kind.code == code for code, kind in classes.items())


@pytest.mark.parametrize(
    ("exc", "said"), [(ValueError(" a pity "), "a pity"), (TimeoutError(), "TimeoutError"), (OSError(" "), "OSError")]
)
def test_an_exception_without_a_message_gives_its_name(exc, said):
    assert reason(exc) == said
