#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The Python binding declares what the headers do: every function, structure, size, offset, type, constant.

    test_python_abi.py INCLUDE_FOLDER
"""
import ctypes
import re
import sys
import unittest

try:
    import numpy  # noqa: F401
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

import bnnep
from bnnep import _abi, _errors, _optimizer, _structs, _training
from header import Header

HEADER = Header(sys.argv[1])
PLAIN = {
    "void": None,
    "int32_t": ctypes.c_int32,
    "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t,
    "float": ctypes.c_float,
    "double": ctypes.c_double,
    "bnnep_status": ctypes.c_int32,
    "void *": ctypes.c_void_p,
    "char *": ctypes.c_char_p,
    "int8_t *": ctypes.POINTER(ctypes.c_int8),
    "uint8_t *": ctypes.POINTER(ctypes.c_uint8),
}
ENUMS = {
    "LOG": bnnep.LogLevel,
    "TYPE": bnnep.DataType,
    "PART": bnnep.Part,
    "FORMAT": bnnep.Format,
    "DYNAMICS": bnnep.Dynamics,
    "SCHEDULE": bnnep.Schedule,
    "START": bnnep.Start,
    "CONNECTION": bnnep.Kind,
    "METHOD": bnnep.Method,
    "NUDGE": bnnep.Nudge,
    "UNIT": bnnep.Unit,
    "FALL": bnnep.Fall,
    "RATE": _optimizer.Rate,
    "EVENT": _training.Event,
    "READOUT": bnnep.Readout,
    "PHASE": bnnep.Phase,
    "CONTRAST": bnnep.ContrastPart,
}


def python_name(name):
    return "".join(map(str.capitalize, name[len("bnnep_") :].split("_")))


def python_type(kind):
    if kind in PLAIN:
        return PLAIN[kind]
    if kind in HEADER.structs or kind in HEADER.callbacks:
        return getattr(_structs, python_name(kind))
    base, stars = re.fullmatch(r"(\w+) (\*+)", kind).groups()
    if base in HEADER.handles:
        return {"*": ctypes.c_void_p, "**": ctypes.POINTER(ctypes.c_void_p)}[stars]
    assert stars == "*", kind
    return ctypes.POINTER(python_type(base))


class Abi(unittest.TestCase):
    def same_type(self, declared, kind, where):
        wanted = python_type(kind)
        # a subclass is an integer that is looked at before it goes across
        fits = declared is wanted or (wanted is not None and issubclass(declared, wanted))
        self.assertTrue(fits, f"{where}: {declared}, but the header has {kind}")

    def test_the_header_was_understood(self):
        self.assertGreater(len(HEADER.functions), 80)
        self.assertEqual(len(HEADER.structs), 24)
        handles = {"bnnep_context", "bnnep_dataset", "bnnep_network", "bnnep_optimizer", "bnnep_workspace"}
        self.assertEqual(HEADER.handles, handles)
        self.assertEqual(len(HEADER.callbacks), 7)
        wanted = ("bnnep_status", ["bnnep_dataset **", "size_t", "bnnep_dataset **"])
        self.assertEqual(HEADER.functions["bnnep_dataset_concat"], wanted)
        self.assertIn("bnnep_optimizer_update", HEADER.functions)  # of inside.h

    def test_functions(self):
        self.assertEqual(list(_abi.FUNCTIONS), [name[len("bnnep_") :] for name in HEADER.functions])
        for name, (result, arguments) in _abi.FUNCTIONS.items():
            c_result, c_arguments = HEADER.functions[f"bnnep_{name}"]
            self.same_type(result, c_result, name)
            self.assertEqual(len(arguments), len(c_arguments), name)
            for place, (declared, kind) in enumerate(zip(arguments, c_arguments)):
                self.same_type(declared, kind, f"{name}, argument {place}")

    def test_callbacks(self):
        for name, (result, arguments) in HEADER.callbacks.items():
            declared = getattr(_structs, python_name(name))
            self.assertIs(declared._restype_, python_type(result), name)
            self.assertEqual(declared._argtypes_, tuple(map(python_type, arguments)), name)

    def test_structures(self):
        declared = {kind.__name__ for kind in _structs.Struct.__subclasses__()}
        self.assertEqual(declared, set(map(python_name, HEADER.structs)))
        for name, members in HEADER.structs.items():
            struct = getattr(_structs, python_name(name))
            self.assertEqual(HEADER.layout[f"sizeof {name}"], (ctypes.sizeof(struct),), name)
            self.assertEqual([field for field, _ in struct._fields_], [field for _, field in members])
            for (field, kind), (c_kind, _) in zip(struct._fields_, members):
                place = getattr(struct, field)
                self.assertEqual((place.offset, place.size), HEADER.layout[f"field {name}.{field}"], f"{name}.{field}")
                self.assertIs(kind, python_type(c_kind), f"{name}.{field}")

    def test_initial_values(self):
        self.assertEqual(len(HEADER.initial), 21)
        for name, initial in HEADER.initial.items():
            self.assertEqual(bytes(getattr(_structs, python_name(name))()), initial, name)

    def test_constants(self):
        value = {name: HEADER.layout[f"value {name}"][0] for name in HEADER.enums}
        self.assertEqual(HEADER.layout["sizeof bnnep_status"], (ctypes.sizeof(_abi.Status),))
        known = {"BNNEP_OK"}
        for prefix, kind in ENUMS.items():
            for member in kind:
                name = f"BNNEP_{prefix}_{member.name}"
                self.assertEqual(value[name], member, name)
                known.add(name)
        for status, kind in _errors.BY_STATUS.items():
            name = _abi.library.bnnep_status_name(status).decode()
            self.assertEqual(value[name], status)
            words = name.replace("BNNEP_ERROR_", "").replace("BNNEP_", "").replace("MEMORY", "OUT_OF_MEMORY")
            self.assertIn(kind.__name__.upper(), {words.replace("_", ""), words.replace("_", "") + "ERROR"})
            known.add(name)
        self.assertEqual(known, set(HEADER.enums))

    def test_network_options(self):
        """What can be given by keyword is all of the structure but what the constructor fills in."""
        filled = {"size", "input_channels", "input_height", "input_width", "connections", "connection_count"}
        fields = {name for name, _ in _structs.NetworkOptions._fields_}
        self.assertEqual(set(bnnep.NetworkOptions.__annotations__), fields - filled - {"reserved"})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
