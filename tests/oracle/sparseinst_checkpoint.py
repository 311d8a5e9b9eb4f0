#!/usr/bin/env python3
"""A SparseInst checkpoint as the authors' training saves it, with the parameters of a golden file.

    sparseinst_checkpoint.py ORACLE_FOLDER GOLDEN.safetensors OUT.pth
    tessera_goldens --weights OUT.pth GOLDEN.safetensors

ORACLE_FOLDER holds sparseinst_oracle.py, which made the golden file: its table() lists the official names in their order,
its make_params() gives the values. The state dict is that of a torch.nn.Module (an OrderedDict with _metadata), its
tensors are contiguous OIHW, and it lies under "model" beside the rest that detectron2 saves.
"""
import collections
import json
import struct
import sys

import torch


def main():
    folder, golden, out = sys.argv[1:4]
    sys.path.insert(0, folder)
    import sparseinst_oracle as oracle

    with open(golden, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
    config = {k: json.loads(v) for k, v in header["__metadata__"].items() if k.startswith("config.")}
    table = oracle.table(config["config.decoder"], net=config["config.backbone"])
    params = oracle.make_params(table, config["config.prefix"], torch.float32)

    state = collections.OrderedDict((name, params[name].detach()) for name, _, _ in table)
    state._metadata = collections.OrderedDict([("", {"version": 1}), ("backbone.stem.conv1.norm", {"version": 3})])
    optimizer = {"state": {0: {"step": 1, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 5e-5, "params": [0]}]}
    scheduler = {"last_epoch": 7, "base_lrs": [5e-5], "milestones": collections.Counter([3, 5])}
    torch.save({"model": state, "optimizer": optimizer, "scheduler": scheduler, "iteration": 7}, out)
    print("%s: %d tensors, PyTorch %s" % (out, len(state), torch.__version__))


if __name__ == "__main__":
    main()
