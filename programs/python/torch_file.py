# SPDX-License-Identifier: MIT
"""Reads what torch.save() wrote, as NumPy arrays and plain values: the format of PyTorch 1.6 and later, a zip archive,
and the one before. PyTorch is not needed, and no code that a file names is run.
"""
import collections
import pickle
import zipfile

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C  # opens a file of before 1.6
STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


def rebuild(storage, offset, shape, strides, *_):
    """A tensor is a view of its storage; NumPy refuses one that reaches beyond it."""
    size = storage.itemsize
    return np.ndarray(shape, storage.dtype, storage, offset * size, [size * stride for stride in strides])


class Unpickler(pickle.Unpickler):
    """Knows the few names that tensors and dictionaries of them need. `find_storage` is given a storage's key, type and
    number of values."""

    def __init__(self, file, find_storage):
        super().__init__(file, encoding="utf-8")
        self.find_storage = find_storage

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return rebuild
        if module == "torch" and name in STORAGES:
            return np.dtype(STORAGES[name])
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is neither a tensor nor a plain value")

    def persistent_load(self, about):
        _, kind, key, _, count, *_ = about
        return self.find_storage(key, kind, count)


def read_archive(file):
    with zipfile.ZipFile(file) as archive:
        (index,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        folder = index[: -len("data.pkl")] + "data/"
        with archive.open(index) as members:
            return Unpickler(members, lambda key, kind, _: np.frombuffer(archive.read(folder + key), kind)).load()


def read_sequence(file):
    """Magic number, version, machine, the object, the storages' keys, and then each storage: its length, its values."""
    room = file.seek(0, 2)
    file.seek(0)
    storages = {}

    def find_storage(key, kind, count):
        if not 0 <= count * kind.itemsize <= room:
            raise pickle.UnpicklingError(f"a tensor of {count} values, in a file of {room} bytes")
        return storages.setdefault(key, np.zeros(count, kind))  # filled below

    def load():
        return Unpickler(file, find_storage).load()

    if load() != MAGIC:
        raise pickle.UnpicklingError("it does not begin as a file of torch.save()")
    load(), load()
    value = load()
    for key in load():
        file.read(8)
        if file.readinto(storages[key]) != storages[key].nbytes:
            raise pickle.UnpicklingError("it ends before its last tensor")
    return value


def read(path):
    """The object in a file. Raises OSError, or ValueError with a line that says what is wrong with it."""
    with open(path, "rb") as file:
        try:
            return read_archive(file) if zipfile.is_zipfile(file) else read_sequence(file)
        except OSError:
            raise
        except Exception as error:  # whatever damage makes of the unpickler
            raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None
