#!/usr/bin/env python3
"""The peer of tessera_bench: makes and times one case at a time in PyTorch, torchvision, SciPy or ncnn.

    python3 bench/peer.py [--threads N] [--device cpu|cuda]        reads requests from standard input; bench/peer.h has the protocol

A case may be done in several ways (memory formats, eager or frozen): each is tried and the fastest stays.
"""
import argparse
import ctypes
import gc
import json
import sys
import time
import warnings

import torch

import peer_effseg
import peer_fassst
import peer_models
import peer_operators


def installed():
    names = ["PyTorch " + torch.__version__]
    for name in ("torchvision", "scipy", "ncnn"):
        try:
            names.append(name + " " + __import__(name).__version__)
        except ImportError:
            pass
    return ", ".join(names)


def status_mb(name):
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(name):
                return float(line.split()[1]) / 1024
    return 0.0


def give_memory_back():
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except AttributeError:  # not glibc
        pass


class Case:
    def __init__(self, request):
        give_memory_back()
        self.before = status_mb("VmRSS:")
        operation = request.pop("op")
        function = next(getattr(module, operation) for module in (peer_operators, peer_models, peer_effseg, peer_fassst) if hasattr(module, operation))
        variants = function(**request)
        on_cpu = torch.get_default_device().type == "cpu"
        wait = (lambda: None) if on_cpu else torch.cuda.synchronize
        clock = time.process_time if on_cpu and torch.get_num_threads() == 1 else time.perf_counter
        best, reason = None, None
        for name, make in variants.items():
            try:
                call = make()
                call(), call()
                wait()
                start = clock()
                call()
                wait()
                seconds = clock() - start
            except RuntimeError as error:  # this way is not open to this case
                reason = error
                continue
            if best is None or seconds < best[0]:
                best = seconds, name, call
            del call
        if best is None:
            raise RuntimeError(f"{operation}: {reason}")
        _, self.name, run = best
        self.call = run if on_cpu else lambda: (run(), wait())

    def sample(self, least):
        calls, wall, cpu = 0, time.perf_counter(), time.process_time()
        while True:
            self.call()
            calls += 1
            walls, cpus = time.perf_counter() - wall, time.process_time() - cpu
            if (min(walls, cpus) if torch.get_default_device().type == "cpu" else walls) >= least:
                return calls, walls, cpus

    def peak(self):
        give_memory_back()
        with open("/proc/self/clear_refs", "w") as reset:
            reset.write("5")
        self.call(), self.call()
        return status_mb("VmHWM:") - self.before


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_default_device(arguments.device)
    warnings.simplefilter("ignore")  # that the ways of old are the fastest here is measured, not assumed
    case = None
    for line in sys.stdin:
        command, _, rest = line.strip().partition(" ")
        if command == "hello":
            answer = "ok " + installed()
        elif command == "make":
            case = None
            try:
                torch.manual_seed(0)
                case = Case(json.loads(rest))
                answer = "ok " + case.name
            except (ImportError, RuntimeError, TypeError) as error:
                answer = "none " + str(error).splitlines()[0]
        elif command == "sample":
            answer = "%d %.9f %.9f" % case.sample(float(rest))
        elif command == "memory":
            answer = "%.3f" % case.peak()
        else:
            answer = "unknown request"
        print(answer, flush=True)


if __name__ == "__main__":
    main()
