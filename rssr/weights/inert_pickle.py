"""Read a pickle as data: nothing that it names is imported, made or called.

The stream is walked opcode by opcode. Plain values and containers are rebuilt, tensors become records of where their
values lie, and every other object becomes an `Inert` that keeps its name and takes whatever is done to it. There is
no callable on the stack, so no pickle, however it is written, runs code.
"""

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from rssr.weights.tensor_records import REBUILDERS, GlobalName, Inert, InertPickleError, read_count, read_storage


@dataclass(frozen=True)
class InertPickle:
    """What a pickle holds.

    Attributes:
        content: Plain values, lists, tuples, dictionaries, `TensorRecord`, `Inert` and `GlobalName`.
        replaced: Names of the classes and functions for which something inert stands, in the order of the file.
    """

    content: object
    replaced: tuple[str, ...]


def read_inert_pickle(stream: bytes) -> InertPickle:
    """Walk a pickle of any protocol.

    Raises:
        InertPickleError: If the stream is damaged or holds a tensor that does not lie within its storage.
    """
    machine = _Machine()
    content = _walk(stream, machine)
    return InertPickle(content, tuple(dict.fromkeys(machine.replaced)))


def read_plain_pickle(stream: bytes) -> object:
    """Walk a pickle that holds nothing but lists, tuples, dictionaries, sets, text and whole numbers.

    Returns:
        The content; sets as lists of their items, in the order of the file, and dictionaries without what is hashed
        recursively: a tuple as key becomes `Inert`.

    Raises:
        InertPickleError: If the stream is damaged or names, makes or holds anything else; says what.
    """
    return _walk(stream, _PlainMachine())


def _walk(stream: bytes, machine: "_Machine") -> object:
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            machine.execute(opcode.name, argument)
        return machine.pop()
    except InertPickleError:
        raise
    except Exception as error:  # a garbled stream makes its reader stumble in any way it can
        raise InertPickleError(f"the pickle is damaged ({type(error).__name__})") from None


_MARK = object()

_CONSTANTS: Mapping[str, object] = MappingProxyType({"NONE": None, "NEWTRUE": True, "NEWFALSE": False})
# Opcodes that carry a plain value with them.
_LITERALS = frozenset(
    {
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "LONG4",
        "FLOAT",
        "BINFLOAT",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINBYTES8",
        "BYTEARRAY8",
    }
)
_SMALL_TUPLES: Mapping[str, int] = MappingProxyType({"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3})
_IGNORED = frozenset({"PROTO", "FRAME", "STOP"})


class _Machine:
    """The pickle machine's stack and memo, with records in place of objects."""

    def __init__(self) -> None:
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}
        self.replaced: list[str] = []

    def execute(self, name: str, argument: object) -> None:
        """One opcode."""
        if name in _LITERALS:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _SMALL_TUPLES:
            self._push_tuple(_SMALL_TUPLES[name])
        elif name not in _IGNORED:
            perform = _OPERATIONS.get(name)
            if perform is None:
                raise InertPickleError(f"the pickle uses {name}, which no checkpoint needs")
            perform(self, argument)

    def pop(self) -> object:
        """The topmost object."""
        top = self._stack.pop()
        if top is _MARK:
            raise InertPickleError("the pickle is damaged (a mark without items)")
        return top

    def _push_tuple(self, length: int) -> None:
        parts = [self.pop() for _ in range(length)]
        self._stack.append(tuple(reversed(parts)))

    def _items(self) -> list[object]:
        """Everything above the topmost mark, which goes with it."""
        items: list[object] = []
        while (top := self._stack.pop()) is not _MARK:
            items.append(top)
        items.reverse()
        return items

    def _top(self) -> object:
        if self._stack[-1] is _MARK:
            raise InertPickleError("the pickle is damaged (a mark without items)")
        return self._stack[-1]

    def _inert(self, maker: object) -> Inert:
        name = maker.name if isinstance(maker, GlobalName | Inert) else type(maker).__name__
        self.replaced.append(name)
        return Inert(name)

    def _drop_mark(self, _: object) -> None:
        self._items()

    def _put_mark(self, _: object) -> None:
        self._stack.append(_MARK)

    def _drop(self, _: object) -> None:
        self._stack.pop()

    def _duplicate(self, _: object) -> None:
        self._stack.append(self._top())

    def _put_list(self, _: object) -> None:
        self._stack.append([])

    def _put_dict(self, _: object) -> None:
        self._stack.append({})

    def _put_set(self, _: object) -> None:
        self._stack.append(Inert("builtins.set"))  # of no use here, and its items need hashes

    def _gather_list(self, _: object) -> None:
        self._stack.append(self._items())

    def _gather_tuple(self, _: object) -> None:
        self._stack.append(tuple(self._items()))

    def _gather_dict(self, _: object) -> None:
        items = self._items()
        self._stack.append({})
        self._set_items(items)

    def _gather_set(self, _: object) -> None:
        self._items()
        self._put_set(None)

    def _append(self, _: object) -> None:
        self._extend([self.pop()])

    def _append_many(self, _: object) -> None:
        self._extend(self._items())

    def _extend(self, items: list[object]) -> None:
        target = self._top()
        if isinstance(target, list):
            target.extend(items)
        else:
            _require_inert(target)

    def _set_item(self, _: object) -> None:
        value = self.pop()
        self._set_items([self.pop(), value])

    def _set_many(self, _: object) -> None:
        self._set_items(self._items())

    def _set_items(self, items: list[object]) -> None:
        target = self._top()
        if not isinstance(target, dict):
            _require_inert(target)
            return
        target.update((_as_key(key), value) for key, value in zip(items[::2], items[1::2], strict=True))

    def _memorise(self, index: object) -> None:
        self._memo[len(self._memo) if index is None else read_count(index)] = self._top()

    def _recall(self, index: object) -> None:
        self._stack.append(self._memo[read_count(index)])

    def _global(self, argument: object) -> None:
        self._stack.append(GlobalName(".".join(str(argument).split(" "))))

    def _stack_global(self, _: object) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise InertPickleError("the pickle names a class by something other than text")
        self._stack.append(GlobalName(f"{module}.{name}"))

    def _extension(self, argument: object) -> None:
        self._stack.append(GlobalName(f"extension {argument}"))

    def _reduce(self, _: object) -> None:
        arguments, maker = self.pop(), self.pop()
        rebuild = REBUILDERS.get(maker.name) if isinstance(maker, GlobalName) else None
        if rebuild is not None and isinstance(arguments, tuple):
            self._stack.append(rebuild(arguments))
        else:
            self._stack.append(self._inert(maker))

    def _new_object(self, _: object) -> None:
        self.pop()
        self._stack.append(self._inert(self.pop()))

    def _new_object_with_keywords(self, _: object) -> None:
        self.pop()
        self._new_object(None)

    def _old_instance(self, argument: object) -> None:
        self._items()
        self._global(argument)
        self._stack.append(self._inert(self.pop()))

    def _old_object(self, _: object) -> None:
        items = self._items()
        self._stack.append(self._inert(items[0]))

    def _build(self, _: object) -> None:
        """State is dropped, whatever it was for: an ordered dictionary's metadata, or an object's attributes."""
        self.pop()
        self._top()

    def _persistent(self, _: object) -> None:
        self._stack.append(read_storage(self.pop()))


_OPERATIONS: Mapping[str, Callable[[_Machine, object], None]] = MappingProxyType(
    {
        "MARK": _Machine._put_mark,
        "POP": _Machine._drop,
        "POP_MARK": _Machine._drop_mark,
        "DUP": _Machine._duplicate,
        "EMPTY_LIST": _Machine._put_list,
        "LIST": _Machine._gather_list,
        "APPEND": _Machine._append,
        "APPENDS": _Machine._append_many,
        "TUPLE": _Machine._gather_tuple,
        "EMPTY_DICT": _Machine._put_dict,
        "DICT": _Machine._gather_dict,
        "SETITEM": _Machine._set_item,
        "SETITEMS": _Machine._set_many,
        "EMPTY_SET": _Machine._put_set,
        "ADDITEMS": _Machine._append_many,
        "FROZENSET": _Machine._gather_set,
        "PUT": _Machine._memorise,
        "BINPUT": _Machine._memorise,
        "LONG_BINPUT": _Machine._memorise,
        "MEMOIZE": _Machine._memorise,
        "GET": _Machine._recall,
        "BINGET": _Machine._recall,
        "LONG_BINGET": _Machine._recall,
        "GLOBAL": _Machine._global,
        "STACK_GLOBAL": _Machine._stack_global,
        "EXT1": _Machine._extension,
        "EXT2": _Machine._extension,
        "EXT4": _Machine._extension,
        "REDUCE": _Machine._reduce,
        "NEWOBJ": _Machine._new_object,
        "NEWOBJ_EX": _Machine._new_object_with_keywords,
        "INST": _Machine._old_instance,
        "OBJ": _Machine._old_object,
        "BUILD": _Machine._build,
        "BINPERSID": _Machine._persistent,
    }
)


def _require_inert(target: object) -> None:
    if not isinstance(target, Inert):
        raise InertPickleError(f"the pickle adds items to a {type(target).__name__}")


def _as_key(key: object) -> object:
    """A key that is safe to hash: nested tuples would be hashed recursively, to any depth."""
    if key is None or isinstance(key, str | int | float | bytes | GlobalName | Inert):
        return key
    return Inert(type(key).__name__)


class _PlainMachine(_Machine):
    """The machine without any name but those of sets, which old protocols make by name."""

    def execute(self, name: str, argument: object) -> None:
        """One opcode."""
        if name in _SET_OPERATIONS:
            _SET_OPERATIONS[name](self, argument)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            super().execute(name, argument)
            self._require_set(self._top())
        elif name == "REDUCE":
            self._make_set()
        elif name in _PLAIN_LITERALS or name in _PLAIN_OPERATIONS:
            super().execute(name, argument)
        else:
            raise InertPickleError(f"the pickle uses {name}, which plain text and numbers do not need")

    def _make_set(self) -> None:
        arguments = self.pop()
        self._require_set(self.pop())
        items = arguments[0] if isinstance(arguments, tuple) and len(arguments) == 1 else None
        if not isinstance(items, list):
            raise InertPickleError("the pickle makes a set from something other than a list")
        self._stack.append(items)

    @staticmethod
    def _require_set(maker: object) -> None:
        if not isinstance(maker, GlobalName) or maker.name not in _SETS:
            name = maker.name if isinstance(maker, GlobalName) else f"a {type(maker).__name__}"
            raise InertPickleError(f"the pickle asks for {name}, which may run code")


_SETS = frozenset({f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("set", "frozenset")})
_SET_OPERATIONS: Mapping[str, Callable[[_Machine, object], None]] = MappingProxyType(
    {"EMPTY_SET": _Machine._put_list, "FROZENSET": _Machine._gather_list, "ADDITEMS": _Machine._append_many}
)
_PLAIN_LITERALS = (
    _LITERALS - {name for name in _LITERALS if "BYTE" in name or "FLOAT" in name} | _SMALL_TUPLES.keys() | _IGNORED
)
_PLAIN_OPERATIONS = _CONSTANTS.keys() | _OPERATIONS.keys() - {
    "GLOBAL",
    "STACK_GLOBAL",
    "REDUCE",
    "BUILD",
    "INST",
    "OBJ",
    "NEWOBJ",
    "NEWOBJ_EX",
    "BINPERSID",
} - {"EXT1", "EXT2", "EXT4"}
