#!/usr/bin/env python3
"""Small files of weights as PyTorch and NumPy write them, for tests/tensor/weights_file_test.cpp.

    torch_files.py OUT_FOLDER TAG       # writes torch-TAG-{zip,old}.pth and numpy-TAG-p{2,3,4,5}.pkl, numpy-TAG-python2.pkl,
                                        # since PyTorch 2.1 also torch-TAG-big.pth, as a big-endian machine would

Element i (row-major) of a tensor is (3 i + 1) % 23, in signed types minus 11, in floats (that - 11) / 4, in bool % 2.
Run it with each version of PyTorch whose files are to be read; every file is loaded again and compared here.
"""
import argparse
import io
import os
import pickle
import sys

import numpy as np
import torch
from torch import nn

DTYPES = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16,
          "i64": torch.int64, "i32": torch.int32, "i16": torch.int16, "i8": torch.int8, "u8": torch.uint8,
          "bool": torch.bool}


def values(shape, dtype="f32"):
    v = (3 * np.arange(int(np.prod(shape)), dtype=np.int64) + 1) % 23
    if dtype == "bool":
        v = v % 2
    elif dtype.startswith("i"):
        v = v - 11
    elif dtype != "u8":
        v = (v - 11) / 4
    return v.reshape(shape)


def tensor(shape, dtype="f32"):
    return torch.from_numpy(values(shape, dtype).copy()).to(DTYPES[dtype])


def state_dict():
    d = nn.Linear(2, 1).state_dict()            # an OrderedDict with _metadata, as modules make it
    d.clear()
    for name in DTYPES:
        d[name] = tensor((2, 3), name)
    d["transposed"] = tensor((3, 4)).t()
    d["slice"] = tensor((4, 5), "i16")[1:3, ::2]
    d["permuted"] = tensor((2, 3, 4, 5)).permute(0, 3, 1, 2)
    shared = tensor((4, 2))
    d["tied.a"] = shared
    d["tied.b"] = shared
    d["tied.rows"] = shared[1:3]
    d["expanded"] = tensor((3, 1)).expand(3, 4)
    d["scalar"] = tensor(())
    d["empty"] = tensor((0, 3))
    d["parameter"] = nn.Parameter(tensor((5,)))
    d["block"] = {"weight": tensor((2, 2)), "steps": [tensor((1,), "i64"), 7]}
    return d


class Python2Pickler(pickle._Pickler):
    """Writes str and bytes as the strings of Python 2 (SHORT_BINSTRING, BINSTRING), as Caffe2's model zoo has them."""
    dispatch = dict(pickle._Pickler.dispatch)

    def save_string(self, obj):
        raw = obj if isinstance(obj, bytes) else obj.encode("latin1")
        self.write(b"U" + bytes([len(raw)]) + raw if len(raw) < 256 else b"T" + len(raw).to_bytes(4, "little") + raw)
        self.memoize(obj)

    dispatch[str] = save_string
    dispatch[bytes] = save_string


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out")
    ap.add_argument("tag")
    a = ap.parse_args()
    os.makedirs(a.out, exist_ok=True)
    path = lambda name: os.path.join(a.out, name)

    checkpoint = {"model": state_dict(), "epoch": 3, "lr": 0.1, "args": {"name": "x"},
                  "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"params": [0]}]}}
    torch.save(checkpoint, path("torch-%s-zip.pth" % a.tag))
    torch.save(checkpoint, path("torch-%s-old.pth" % a.tag), _use_new_zipfile_serialization=False)

    if hasattr(torch.UntypedStorage, "byteswap"):
        big = {name: tensor((2, 3), name) for name in DTYPES}
        for t in big.values():
            t.untyped_storage().byteswap(t.dtype)
        order, sys.byteorder = sys.byteorder, "big"
        torch.save(big, path("torch-%s-big.pth" % a.tag))
        sys.byteorder = order
        for name, t in torch.load(path("torch-%s-big.pth" % a.tag)).items():
            assert torch.equal(t, tensor((2, 3), name)), name

    arrays = {"stem.conv1.weight": values((2, 3, 2, 2)).astype(np.float32),
              "stem.conv1.norm.weight": values((300,)).astype(np.float32),
              "half": values((4,)).astype(np.float16), "double": values((2, 2)).astype(np.float64),
              "long": values((3,), "i64"), "byte": values((3,), "u8").astype(np.uint8),
              "bool": values((5,), "bool").astype(bool), "columns": np.asfortranarray(values((2, 3)).astype(np.float32)),
              "big": values((3,)).astype(">f4"), "scalar": np.array(2.5, np.float32)}
    model = {"model": arrays, "__author__": "the author", "matching_heuristics": True}
    for protocol in (2, 3, 4, 5):
        with open(path("numpy-%s-p%d.pkl" % (a.tag, protocol)), "wb") as f:
            pickle.dump(model, f, protocol=protocol)
    buffer = io.BytesIO()
    Python2Pickler(buffer, protocol=2).dump({"blobs": {"conv1_w": arrays["stem.conv1.weight"],
                                                       "res_conv1_bn_s": arrays["stem.conv1.norm.weight"]}})
    with open(path("numpy-%s-python2.pkl" % a.tag), "wb") as f:
        f.write(buffer.getvalue())

    for name in ("zip", "old"):
        back = torch.load(path("torch-%s-%s.pth" % (a.tag, name)))["model"]
        for key, t in state_dict().items():
            assert not isinstance(t, torch.Tensor) or torch.equal(back[key], t), key
    blobs = pickle.loads(buffer.getvalue(), encoding="latin1")["blobs"]
    assert np.array_equal(blobs["conv1_w"], arrays["stem.conv1.weight"])
    print("torch %s, numpy %s: files of %s written and read again" % (torch.__version__, np.__version__, a.tag))


if __name__ == "__main__":
    main()
