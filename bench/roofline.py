#!/usr/bin/env python3
"""Predicts from machine code how near the kernels that memory limits come to a GPU's bandwidth. Nothing is run.

    bench/roofline.py build/cuda             # the table of docs/gpu.md, of the objects below this folder
    bench/roofline.py older build/cuda       # before → after, of two folders
    bench/roofline.py build/cuda --all pool  # all kernels whose names match, as if nothing came from the cache

The objects are compiled for 9.0 (cmake --preset cuda -DCMAKE_CUDA_ARCHITECTURES=90); cuobjdump, nvdisasm and c++filt
are found on the PATH.

Of each kernel one region of code is looked at: the innermost loop that accesses the most global memory, or what is
outside such loops where that loads and stores three times as much (a batch, of which the loop does the rest). Both
sides of a branch within it count. With W warps resident on each of S SMs, and per warp and turn B bytes of HBM:

    memory    B / bandwidth reached
    pipes     the most cycles that any pipe of an SM takes / (S clock): instructions issued, integer, floating point,
              f64, conversions and transcendental functions, bytes through L1 and shared memory (rates: KIND)
    latency   rounds L / (S W): a round ends where the first register is used that a load before it fills, and all
              loads issued until then are taken to arrive together (Little's law); L lies between LATENCY of HBM and of
              the L2 cache, by where the loads come from

    predicted share = (B / nominal bandwidth) / max(memory, pipes, latency)

A share is of the nominal bandwidth, so nothing predicts more than the bandwidth reached, about 90 %. W follows from
registers and static shared memory. B is what the region stores and loads; where loads come from the cache KERNELS
states which part comes from HBM, and how much is written per byte of it by a region that stores nothing.

What this does not see: prologues and tails of grids, banks and partial cache lines, how often a branch is taken, clocks
that fall. It compares versions of one kernel well, and kernels with each other less; only a profile on a GPU
(./run gpu) is a measurement.
"""
import argparse
import pathlib
import re
import subprocess

LATENCY = 800e-9, 200e-9  # seconds from a load to its use, from HBM and from L2 with the memory busy: assumptions
CLOCK, SMS, WARPS, REGISTERS, SHARED = 1.755e9, 132, 64, 65536, 227 * 1024  # of H100 SXM and H200 alike
GPUS = {"H100": (3.35e12, 3.0e12), "H200": (4.8e12, 4.3e12)}  # bytes per second, nominal and reached

# Pipe and cycles of it that an instruction of a warp takes on an SM. Global and shared accesses: a cycle per 128 bytes.
KIND = [
    (r"(LDG|STG|LD|ST|RED|ATOMG|ATOM)\b", "L1", None), (r"(LDS|STS|LDSM|SHFL)\b", "L1", None),
    (r"D(ADD|MUL|FMA|SETP|MNMX)", "f64", 0.5), (r"(MUFU|I2F|F2I|F2F|FRND|POPC|FLO)", "special", 2),
    (r"(FFMA|FADD|FMUL|HFMA2)", "fma", 0.25), (r"IMAD", "fma", 0.5),
    (r"(IADD|ISETP|VIADD|LOP3|SHF|LEA|PRMT|SEL|FSEL|FSETP|FMNMX|VIMNMX|IMNMX|IABS|F2FP|PLOP3|MOV|VOTE|BMSK|SGXT)",
     "integer", 0.5)]

# Row of the table; kernel, of several that match the one with the widest accesses; which part of the loaded bytes comes
# from HBM; bytes written per byte of it where the region stores nothing. Sizes of the rows: bilinear to twice the size,
# pooling 3 x 3 by steps of 2, depthwise 3 x 3 by steps of 1, RoIAlign with 2 x 2 points per bin a pixel apart (9 reads
# in 3 rows of 4) of a map as large as the result, deformable 3 x 3. T: f32 or bf16.
KERNELS = [
    ("relu", r"pieces_kernel<Formula<Relu>, \d, T, T>", 1, 0),
    ("sigmoid", r"pieces_kernel<Formula<Sigmoid>, \d, T, T>", 1, 0),
    ("add", r"pieces_kernel<Formula<Add>, \d, T, T, T>", 1, 0),
    ("add, broadcast", r"broadcast_kernel<Add, (\d, )?T>", 1, 0),
    ("broadcast_to", r"(broadcast_to_kernel<T>|copy_walk_kernel<float4>)", 1, 0),
    ("cast of f32", r"convert_kernel<BFloat16, float>", 1, 0),
    ("fill", r"fill_kernel<unsigned int>", 1, 0),
    ("slice, gather_rows", r"move_runs_kernel<0, float4>", 1, 0),
    ("batch and group norm: moments", r"column_moments_kernel<T, \d>", 1, 0),
    ("batch and group norm: result", r"normalise_kernel<T, \d>", 1, 0),
    ("batch and group norm: sums backward", r"column_sums_kernel<\d, GradientSums<T, \d> >", 1, 0),
    ("batch and group norm: input gradient", r"input_gradient_kernel<T, [48]>", 1, 0),
    ("frozen batch norm, backward", r"frozen_backward_kernel<T, \d>", 1, 0),
    ("layer norm, last pass", r"layer_norm_kernel<T, \d>", 1, 0),
    ("softmax, last pass", r"softmax_kernel<ByWarp, Softmax>", 1, 0),
    ("sum", r"reduce_kernel<DoubleSum, LoadValue<T>, StorePart<double> >", 1, 0),
    ("normalised sigmoid: sums", r"reduce_kernel<DoubleSum, LoadSigmoid<T>, StorePart<double> >", 1, 0),
    ("normalised sigmoid: sums backward", r"reduce_kernel<PairSum, LoadPair<T>, StorePart<PairSum::Value> >", 1, 0),
    ("binary cross entropy, backward", r"loss_backward_kernel<BinaryCrossEntropy>", 1, 0),
    ("adamw", r"adamw_kernel", 1, 0),
    ("sgd", r"sgd_kernel", 1, 0),
    ("scale_rows from f32", r"scale_rows_kernel<T, float>", 1, 0),
    ("norm of the gradients", r"sum_of_squares_kernel", 1, 0),
    ("permute, f32", r"permute_tiles_kernel<unsigned int>", 1, 0),
    ("permute, bf16", r"permute_tiles_kernel<unsigned short>", 1, 0),
    ("bilinear", r"bilinear_kernel<T, \d>", 1 / 24, 0),
    ("bilinear, backward", r"backward_kernel<T, \d>", 1 / 5, 1 / 4),
    ("max pooling", r"max_pool2d_kernel<T, \d(, 3)?>", 4 / 9, 1 / 2),
    ("max pooling, backward", r"max_pool2d_backward_kernel<T, \d>", 1 / 9, 2),
    ("depthwise", r"depthwise_(runs_kernel<T, \d, 1>|kernel<T, \d, 3>)", 1 / 12, 1),
    ("depthwise, weight gradient", r"column_sums_kernel<\d, PositionSums<T, \d> >", 1, 0),
    ("RoIAlign", r"roi_align_kernel<T, \d(, true)?>", 1 / 12, 1),
    ("deformable columns", r"columns_kernel<T, \d>", 1 / 36, 0),
]


def run(*command, text=None):
    return subprocess.run(command, input=text, check=True, capture_output=True, text=True).stdout


class Instruction:
    def __init__(self, address, text):
        self.address = address
        guard, self.text = re.fullmatch(r"(@!?U?P\w+ )?(.*?) *;?", text).groups()
        self.guarded = guard is not None
        self.name = self.text.split()[0]
        self.operands = self.text[len(self.name):]
        self.is_global = re.match(r"(LDG|STG|LD|ST)\b", self.name) is not None
        self.loads = self.name.startswith("LD") and self.is_global
        self.stores = self.name.startswith("ST") and self.is_global
        width = re.search(r"\.(128|64|[US]16|[US]8)\b", self.name)
        self.bytes = {None: 4, "128": 16, "64": 8, "16": 2, "8": 1}[width and width.group(1).lstrip("US")]
        branch = re.match(r"BRA\S*(?: \S+,)? (0x[0-9a-f]+)", self.text)
        self.target = int(branch.group(1), 16) if branch else None

    def registers(self):
        return {int(r) for r in re.findall(r"\bR(\d+)", self.operands)}

    def filled(self):
        first = re.match(r" R(\d+)", self.operands)
        return set(range(int(first.group(1)), int(first.group(1)) + (self.bytes + 3) // 4)) if first else set()

    def cost(self):
        for pattern, pipe, cycles in KIND:
            if re.match(pattern, self.name):
                return pipe, cycles if cycles else max(0.25 * self.bytes, 0.5)
        return "other", 0


class Kernel:
    def __init__(self, name, code, registers, shared):
        self.name, self.registers = name, registers
        threads = 128 if re.match(r"softmax|layer_norm|cross_entropy", name) else 256
        warps = threads // 32
        blocks = min(WARPS // warps, REGISTERS // (-(-max(registers, 1) // 8) * 8 * threads), SHARED // (shared + 1024))
        self.warps = blocks * warps
        self.region = self.hot_region(code)
        self.loaded = sum(i.bytes for i in self.region if i.loads)
        self.stored = sum(i.bytes for i in self.region if i.stores)
        self.widest = max((i.bytes for i in self.region if i.is_global), default=0)
        self.rounds, self.in_flight = self.waits()

    @staticmethod
    def hot_region(code):
        def moved(region, which):
            return sum(i.bytes for i in region if getattr(i, which))
        loops = [[i for i in code if end.target <= i.address <= end.address] for end in code
                 if end.target is not None and end.target < end.address]
        inner = []
        for loop in sorted((l for l in loops if moved(l, "is_global")), key=len):
            if not any(loop[0].address <= i[0].address and i[-1].address <= loop[-1].address for i in inner):
                inner.append(loop)
        best = max(inner, key=lambda l: moved(l, "is_global"), default=[])
        looped = {i.address for loop in inner for i in loop}
        end = next((n for n, i in enumerate(code)
                    if i.name == "EXIT" and not i.guarded and i.address not in looped), len(code))
        straight = [i for i in code[:end + 1] if i.address not in looped]
        more = all(moved(straight, which) >= 3 * moved(best, which) for which in ("loads", "stores"))
        return straight if more else best

    # Rounds in a turn of the region, and the most bytes that a thread waits for at once.
    def waits(self):
        rounds = most = 0
        pending, waiting = set(), 0
        for turn in range(2):  # the first leaves what the second begins with
            rounds = 0
            for i in self.region:
                used = i.registers() - (i.filled() if i.loads else set())
                if pending & used:
                    rounds, most = rounds + 1, max(most, waiting)
                    pending, waiting = set(), 0
                if i.loads:
                    pending |= i.filled()
                    waiting += i.bytes
        return rounds, max(most, waiting)

    def predict(self, from_hbm=1, written=0):
        hbm = from_hbm * self.loaded * (1 + (0 if self.stored else written)) + self.stored
        pipes = {"issue": 0.25 * len(self.region)}
        for i in self.region:
            pipe, cycles = i.cost()
            pipes[pipe] = pipes.get(pipe, 0) + cycles
        pipe = max(pipes, key=pipes.get)
        latency = from_hbm * LATENCY[0] + (1 - from_hbm) * LATENCY[1]
        shares, bound = {}, {}
        for gpu, (nominal, reached) in GPUS.items():
            times = {"memory": 32 * hbm / reached, pipe: pipes[pipe] / SMS / CLOCK,
                     "latency": self.rounds * latency / SMS / max(self.warps, 1)}
            bound[gpu] = max(times, key=times.get)
            shares[gpu] = 32 * hbm / nominal / max(times.values()) if hbm else 0
        return hbm, shares, bound


def short(names):
    demangled = run("c++filt", text="\n".join(names)).splitlines()
    strip = re.compile(r"^void |\(anonymous namespace\)::|\b(tessera|cuda|scalar|ops)::")
    return [re.sub(r"\(.*", "", re.sub(r"\(\w+\)(?=\d)", "", strip.sub("", name))) for name in demangled]


def kernels_of(objects):
    for path in objects:
        usage = dict(re.findall(r"Function (\S+):\s+(.*)", run("cuobjdump", "--dump-resource-usage", str(path))))
        parts = re.split(r"\n\s*Function : (\S+)\n", run("cuobjdump", "-sass", str(path)))
        for mangled, name, text in zip(parts[1::2], short(parts[1::2]), parts[2::2]):
            code = [Instruction(int(at, 16), instruction)
                    for at, instruction in re.findall(r"/\*([0-9a-f]{4,})\*/\s+(\S.*?;)", text)]
            code = [i for i in code if i.name != "NOP" and i.target != i.address]
            registers, shared = (int(re.search(key + r":(\d+)", usage[mangled]).group(1)) for key in ("REG", "SHARED"))
            yield Kernel(name, code, registers, shared)


# The cells of a kernel's row, as the heads in main() name them; operations are those of f32 and f64.
def cells(kernel, numbers):
    hbm, shares, bound = kernel.predict(*numbers)
    operations = sum(re.match(r"[DF](ADD|MUL|FMA|MNMX)|MUFU", i.name) is not None for i in kernel.region)
    per_16 = 16 * len(kernel.region) / max(hbm, 1e-9)
    return [f"{hbm:.3g}", operations, len(kernel.region), f"{per_16:.0f}", kernel.in_flight, kernel.warps,
            f"{shares['H100']:.0%}", f"{shares['H200']:.0%}", bound["H200"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, nargs="+")
    parser.add_argument("--all", metavar="REGEX", help="kernels that match, instead of those of the table")
    arguments = parser.parse_args()
    folders = [list(kernels_of(sorted(folder.rglob("*.cu.o")))) for folder in arguments.folder]
    if arguments.all:
        rows = [(name, "^" + re.escape(name) + "$", 1, 0) for name in sorted({k.name for f in folders for k in f})
                if re.search(arguments.all, name)]
    else:
        rows = []
        for row, pattern, *numbers in KERNELS:
            both = re.search(r"\bT\b", pattern) is not None
            for name, kind in (("f32", "float"), ("bf16", "BFloat16"))[:1 + both]:
                rows.append((f"{row}, {name}" if both else row, re.sub(r"\bT\b", kind, pattern), *numbers))
    heads = ["bytes", "operations", "instructions", "per 16 bytes", "in flight", "warps", "H100", "H200", "bound"]
    print("| kernel | " + " | ".join(heads) + " |\n" + "|---" * (len(heads) + 1) + "|")
    for row, pattern, *numbers in rows:
        matches = [[k for k in folder if re.match(pattern, k.name)] for folder in folders]
        best = [max(m, key=lambda k: (k.widest, k.loaded + k.stored)) for m in matches if m]
        if not best:
            continue
        columns = zip(*(map(str, cells(k, numbers)) for k in best))
        print(f"| {row} | " + " | ".join(" → ".join(dict.fromkeys(column)) for column in columns) + " |")


if __name__ == "__main__":
    main()
