"""The flat names of a state on disk, and the keys of the same arrays."""

from experiment.errors import InputError
from parity_tests.side import Key

_KINDS = {
    "params": "weights",
    "statistics": "statistics",
    "optimizer": "moments",
}
_COLLECTIONS = {kind: collection for collection, kind in _KINDS.items()}


def key_of(name: str) -> Key:
    """The key of an array that a recording or a run names.

    Raises:
        InputError: the name is of no known kind.

    Example:
        >>> key_of("generator/optimizer/m/hidden_0/kernel")[2:]
        ('hidden_0/kernel', 'm')
    """
    part, _, rest = name.partition("/")
    collection, _, path = rest.partition("/")
    if collection not in _KINDS or not path:
        raise InputError(
            f"{name!r} is no name of a state: it must be PART/params/PATH, "
            "PART/statistics/PATH or PART/optimizer/SLOT[/PATH]"
        )
    slot = ""
    if collection == "optimizer":
        slot, _, path = path.partition("/")
    return Key(_KINDS[collection], part, path, slot)


def name_of(key: Key) -> str:
    """The name of a key, which ``key_of`` takes back.

    Raises:
        InputError: the part is empty or has a slash, or moments have no slot.

    Example:
        >>> name_of(Key("weights", "generator", "hidden_0/kernel"))
        'generator/params/hidden_0/kernel'
    """
    collection = _COLLECTIONS[key.kind]
    names = key.part, collection, key.slot, key.path
    name = "/".join(filter(None, names))
    if key_of(name) != key:
        raise InputError(
            f"{tuple(key)} has no name on disk: its part must be one word, and "
            "moments need a slot"
        )
    return name
