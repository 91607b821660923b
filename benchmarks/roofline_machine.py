"""What can this core do at most, and what does a compiled kernel ask of it?  Peaks by timing, counts by disassembly."""

import ctypes
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hpcfit.biophys.codegen.build import library

# Operations are kept from the optimiser by empty asm; 16 chains hide latencies of up to 8 cycles at two in a cycle.
_PEAKS = r"""
#include <ctime>
#include "lanes.hpp"
#if !defined(__AVX512F__)
#error "peaks are written for AVX-512"
#endif
#define KEEP(x) asm volatile("" : "+v"(x))
static double now() {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}
template <class F> double best(long n, F work) {
    double least = 1e9;
    for (int i = 0; i < 40; ++i) {
        const double start = now();
        work(n);
        const double took = now() - start;
        if (took < least) least = took;
    }
    return 1e9 * least / double(n);
}
template <class F> double over_16(F work) {
    return best(4000, [&](long n) {
        V x[16];
        for (V& one : x) one = c(R(0.5));
        for (long i = 0; i < n; ++i) {
#pragma GCC unroll 16
            for (int k = 0; k < 16; ++k) { work(x[k]); KEEP(x[k]); }
        }
    }) / 16;
}
alignas(64) static char memory[1 << 20];
static M index_;
template <int WRITE> double pass(long bytes) {
    std::memset(memory, 0, sizeof memory);
    return best(1 + (1 << 20) / bytes, [&](long n) {
        for (long i = 0; i < n; ++i)
            for (char* p = memory; p < memory + bytes; p += 1024) {
#pragma GCC unroll 16
                for (int k = 0; k < 16; ++k) {
                    V x = *reinterpret_cast<V*>(p + 64 * k);
                    asm volatile("" : "+v"(x) : : "memory");
                    if (WRITE) store(reinterpret_cast<R*>(p + 64 * k), x);
                }
            }
    });
}
// ns of: 0 a cycle, 1 fma, 2 add, 3 permutation of one register, 4 of two, 5 division, 6 fma and permutation of two,
// 7 a level of the elimination, 8 of the substitution, 9 fma and permutation of one;
// 10 loads and 11 loads and stores of `bytes`.
extern "C" double peak(int which, long bytes) {
    V a = c(R(0.999)), b = c(R(0.001));
    M index = index_;
    R* const at = reinterpret_cast<R*>(memory);
    asm volatile("" : "+v"(a), "+v"(b), "+v"(index));
    switch (which) {
        case 0: return best(20000, [](long n) { long x = n; for (long i = 0; i < n; ++i) {
#pragma GCC unroll 16
            for (int k = 0; k < 16; ++k) { x += 1; asm volatile("" : "+r"(x)); } } }) / 16;
        case 1: return over_16([=](V& x) { x = x * a + b; });
        case 2: return over_16([=](V& x) { x = x + b; });
        case 3: return over_16([=](V& x) { x = PERMUTE1(x); });
        case 4: return over_16([=](V& x) { x = PERMUTE2(x); });
        case 5: return over_16([=](V& x) { x = R(1) / x; });
        case 6: return over_16([=](V& x) { x = x * a + b; V y = a; KEEP(y); y = PERMUTE2(y); KEEP(y); });
        case 9: return over_16([=](V& x) { x = x * a + b; V y = a; KEEP(y); y = PERMUTE1(y); KEEP(y); });
        case 7: store(at, b); return best(4000, [=](long n) { for (long i = 0; i < n; ++i) {
            const V e = load(at) + a, inverse = R(1) / (e + b);
            store(at, b + a * inverse * e); asm volatile("" : : : "memory"); } });
        case 8: store(at, b); return best(4000, [=](long n) { for (long i = 0; i < n; ++i) {
            store(at, (b + a * load(at)) * a); asm volatile("" : : : "memory"); } });
        case 10: return pass<0>(bytes);
        default: return pass<1>(bytes);
    }
}
"""
_PERMUTES = {
    "float": (
        "_mm512_permutexvar_ps((__m512i)index, (__m512)x)",
        "_mm512_permutex2var_ps((__m512)x, (__m512i)index, (__m512)b)",
    ),
    "double": (
        "_mm512_permutexvar_pd((__m512i)index, (__m512d)x)",
        "_mm512_permutex2var_pd((__m512d)x, (__m512i)index, (__m512d)b)",
    ),
}
_NAMES = (
    "cycle",
    "fma",
    "add",
    "permute1",
    "permute2",
    "division",
    "fma_and_permute2",
    "elimination_level",
    "substitution_level",
    "fma_and_permute1",
)


def peaks(real: str, folder: Path) -> dict[str, float]:
    """Reciprocal throughputs, cycles of one vector operation; `GHz`; latency of a tree level, cycles; bytes per cycle.

    real: float or double.  Raises EngineError where there is no AVX-512.
    """
    one, two = _PERMUTES[real]
    head = f"#define HPCFIT_REAL {real}\n#define HPCFIT_LANES {64 // (4 if real == 'float' else 8)}\n"
    head += f"#define PERMUTE1(x) (V){one}\n#define PERMUTE2(x) (V){two}\n"
    peak = library(head + _PEAKS, folder).peak
    peak.restype, peak.argtypes = ctypes.c_double, (ctypes.c_int, ctypes.c_long)
    ns = {name: peak(which, 0) for which, name in enumerate(_NAMES)}
    cycle = ns.pop("cycle")
    found = {"GHz": 1.0 / cycle} | {name: value / cycle for name, value in ns.items()}
    for name, size in (("L1", 16 << 10), ("L2", 448 << 10)):
        found[f"{name}_load_B"] = size / (peak(10, size) / cycle)
        found[f"{name}_load_store_B"] = 2 * size / (peak(11, size) / cycle)
    return found


@dataclass(frozen=True)
class Counts:
    """Vector instructions of a node, by kind.  loads, stores: those of whole vectors, in bytes in `*_bytes`."""

    fma: float = 0.0
    add_multiply: float = 0.0
    divide: float = 0.0
    permute: float = 0.0
    other: float = 0.0
    copy: float = 0.0
    loads: float = 0.0
    stores: float = 0.0
    instructions: float = 0.0

    @property
    def flops(self) -> float:
        """Of a lane: a fused multiplication and addition is two."""
        return 2 * self.fma + self.add_multiply + self.divide

    @property
    def arithmetic(self) -> float:
        """What the vector pipes carry out; copies between registers are renamed away."""
        return self.fma + self.add_multiply + self.divide + self.permute + self.other

    def times(self, factor: float) -> "Counts":
        """Of so many nodes."""
        return Counts(**{name: value * factor for name, value in vars(self).items()})

    def plus(self, more: "Counts") -> "Counts":
        """Of both."""
        return Counts(**{name: value + getattr(more, name) for name, value in vars(self).items()})


_LINE = re.compile(r"\s*([0-9a-f]+):\s+(\S+)\s*(.*)")
Instruction = tuple[int, str, str]


def functions(compiled: str) -> dict[str, list[Instruction]]:
    """(address, operation, operands) of every function of a shared object, by its demangled name up to `(`."""
    command = ["objdump", "-d", "-C", "--no-show-raw-insn", compiled]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, list[Instruction]] = {}
    for block in text.split("\n\n"):
        head = re.match(r"\s*[0-9a-f]+ <(.*)>:\n", block)
        if head and ".cold" not in head[1]:
            lines = (_LINE.match(line) for line in block.splitlines()[1:])
            found[head[1].split("(")[0].removeprefix("void ")] = [
                (int(line[1], 16), line[2], line[3].split("#")[0].strip()) for line in lines if line
            ]
    return found


def per_node(body: list[Instruction], stores: int) -> Counts:
    """Counts of a node of a function: of the loop that stores most, as many nodes at a time as it has `stores`."""
    loops = [body]
    for address, operation, operands in body:
        target = re.match(r"([0-9a-f]+)", operands) if operation.startswith("j") else None
        if target and body[0][0] <= int(target[1], 16) < address:
            loops.append([one for one in body if int(target[1], 16) <= one[0] <= address])
    counted = [_counted(loop) for loop in loops]
    inner = [one for one in counted[1:] if one.stores >= stores]
    fullest = max((one.stores for one in inner), default=0.0)
    best = min((one for one in inner if one.stores == fullest), key=lambda one: one.instructions, default=counted[0])
    return best.times(1.0 / max(1, round(best.stores / stores)))


def _counted(body: list[Instruction]) -> Counts:
    kinds = dict.fromkeys(vars(Counts()), 0.0)
    for _, operation, operands in body:
        kinds["instructions"] += 1
        if "zmm" not in operands:
            continue
        destination = operands.rsplit(",", 1)[-1] if not operands.endswith(")") else operands[operands.rfind("(") :]
        in_memory, on_stack = "(" in operands, re.search(r"\(%r[sb]p", operands) is not None
        if operation.startswith("vmov"):
            if in_memory and "(" in destination:
                kinds["stores"] += not on_stack
            else:
                kinds["loads" if in_memory else "copy"] += 1
            continue
        kinds["loads"] += in_memory and not operation.startswith("vbroadcast")
        packed = re.match(r"v(fn?m(?:add|sub)|add|sub|mul|div|perm)", operation)
        kind = {"add": "add_multiply", "sub": "add_multiply", "mul": "add_multiply", "div": "divide", "perm": "permute"}
        name = "other" if not packed else "fma" if packed[1].startswith("f") else kind[packed[1]]
        kinds[name] += not operation.startswith("vbroadcast")
    return Counts(**kinds)
