#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The Python binding declares what the header does: every function, structure, size, offset, type, constant, default.

    test_python_abi.py INCLUDE_FOLDER
"""
import ctypes
import inspect
import re
import sys
import unittest

try:
    import numpy  # noqa: F401
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

import bnnep
from bnnep import _abi, _errors, _training
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
    "bnnep_status": ctypes.c_int,
    "void *": ctypes.c_void_p,
    "char *": ctypes.c_char_p,
    "int8_t *": ctypes.POINTER(ctypes.c_int8),
    "uint8_t *": ctypes.POINTER(ctypes.c_uint8),
}
ENUMS = {
    "BNNEP_": (bnnep.DataType, bnnep.Dynamics, bnnep.Kind, bnnep.Phase, bnnep.Method),
    "BNNEP_READ_": (bnnep.Readout,),
}


def python_name(name):
    return "".join(map(str.capitalize, name[len("bnnep_") :].split("_")))


def python_type(kind):
    if kind in PLAIN:
        return PLAIN[kind]
    if kind in HEADER.structs or kind in HEADER.callbacks:
        return getattr(_abi, python_name(kind))
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
        self.assertGreater(len(HEADER.functions), 50)
        self.assertEqual(len(HEADER.structs), 13)
        self.assertEqual(HEADER.handles, {"bnnep_dataset", "bnnep_network", "bnnep_optimizer", "bnnep_workspace"})
        self.assertEqual(set(HEADER.callbacks), {"bnnep_log_fn", "bnnep_read_fn", "bnnep_progress_fn"})
        self.assertEqual(HEADER.functions["bnnep_backend_get"], ("bnnep_status", ["size_t", "bnnep_backend_info *"]))

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
            declared = getattr(_abi, python_name(name))
            self.assertIs(declared._restype_, python_type(result), name)
            self.assertEqual(declared._argtypes_, tuple(map(python_type, arguments)), name)

    def test_structures(self):
        declared = {kind.__name__ for kind in _abi.Options.__subclasses__()}
        self.assertEqual(declared, set(map(python_name, HEADER.structs)))
        for name, members in HEADER.structs.items():
            struct = getattr(_abi, python_name(name))
            self.assertEqual(HEADER.layout[f"sizeof {name}"], (ctypes.sizeof(struct),), name)
            self.assertEqual([field for field, _ in struct._fields_], [field for _, field in members])
            for (field, kind), (c_kind, _) in zip(struct._fields_, members):
                place = getattr(struct, field)
                self.assertEqual((place.offset, place.size), HEADER.layout[f"field {name}.{field}"], f"{name}.{field}")
                self.assertIs(kind, python_type(c_kind), f"{name}.{field}")

    def test_initial_values(self):
        self.assertEqual(len(HEADER.initial), 11)
        for name, initial in HEADER.initial.items():
            self.assertEqual(bytes(getattr(_abi, python_name(name))()), initial, name)

    def test_constants(self):
        value = {name: HEADER.layout[f"value {name}"][0] for name in HEADER.enums}
        self.assertEqual(HEADER.layout["sizeof bnnep_status"], (ctypes.sizeof(_abi.Status),))
        known = {"BNNEP_OK", "BNNEP_LOG_WARNING", "BNNEP_LOG_NOTICE"}
        for prefix, kinds in ENUMS.items():
            for member in (member for kind in kinds for member in kind):
                self.assertEqual(value[prefix + member.name], member, member)
                known.add(prefix + member.name)
        for member in bnnep.Part:
            self.assertEqual(value[f"BNNEP_{member.name}_SET"], member)
            known.add(f"BNNEP_{member.name}_SET")
        for name in ("EVENT_STEP", "EVENT_BATCH"):
            self.assertEqual(value[f"BNNEP_{name}"], getattr(_training, name))
            known.add(f"BNNEP_{name}")
        for status, kind in _errors.BY_STATUS.items():
            name = _abi.library.bnnep_status_name(status).decode()
            self.assertEqual(value[name], status)
            words = name.replace("BNNEP_ERROR_", "").replace("BNNEP_", "").replace("MEMORY", "OUT_OF_MEMORY")
            self.assertIn(kind.__name__.upper(), {words.replace("_", ""), words.replace("_", "") + "ERROR"})
            known.add(name)
        self.assertEqual(known, set(HEADER.enums))

    def test_defaults_of_keywords(self):
        """Optimizer repeats them in its signature."""
        given = inspect.signature(bnnep.Optimizer).parameters
        made = _abi.OptimizerOptions()
        for name in ("method", "nudged_steps", "random_beta", "shuffle", "seed", "momentum_noise"):
            self.assertEqual(given[name].default, getattr(made, name), name)
        self.assertEqual(ctypes.c_float(given["beta"].default).value, made.beta)

    def test_network_options(self):
        """What can be given by keyword is all of the structure but what the constructor fills in."""
        filled = {"size", "input_channels", "input_height", "input_width", "connections", "connection_count"}
        fields = {name for name, _ in _abi.NetworkOptions._fields_}
        self.assertEqual(set(bnnep.NetworkOptions.__annotations__), fields - filled - {"log_user", "reserved"})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
