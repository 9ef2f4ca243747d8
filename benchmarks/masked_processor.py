"""Run a command as if this processor had fewer instructions: what libraries do on older ones, at this one's clock.

    python benchmarks/masked_processor.py AVX2 carina bench --quick

Only on Linux on x86, with a C compiler, on processors (or in virtual machines) that let CPUID fault. A small library is
loaded before the command; it answers each CPUID of the process itself and leaves out the features of newer processors.
Libraries that choose by CPUID, as ONNX Runtime and oneDNN do, then take the code of an older processor.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

SETS = ("AMX", "AVX-512 VNNI", "AVX-512", "AVX2", "SSE4.1")
"""Instruction sets, each without those before it. The first is the processor as it is."""

_SOURCE = r"""
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#define ARCH_SET_CPUID 0x1012
#define BIT(n) (1u << (n))
static int left_out;
static void mask(uint32_t leaf, uint32_t sub, uint32_t *r) { /* r: EAX, EBX, ECX, EDX */
  if (leaf == 7 && sub == 0) {
    if (left_out >= 1) r[3] &= ~(BIT(22) | BIT(24) | BIT(25));                    /* AMX */
    if (left_out >= 2) r[2] &= ~(BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14));  /* VNNI and its kin */
    if (left_out >= 2) r[3] &= ~BIT(23);                                          /* FP16 */
    if (left_out >= 3) r[1] &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(28) | BIT(30) | BIT(31)); /* AVX-512 */
    if (left_out >= 4) r[1] &= ~(BIT(3) | BIT(5) | BIT(8));                       /* AVX2, BMI */
  }
  if (leaf == 7 && sub == 1 && left_out >= 1) r[0] &= ~BIT(5);                    /* AVX-512 BF16 */
  if (leaf == 7 && sub == 1 && left_out >= 2) { r[0] &= ~(BIT(4) | BIT(23)); r[3] &= ~(BIT(4) | BIT(5) | BIT(10)); }
  if (leaf == 1 && left_out >= 4) r[2] &= ~(BIT(12) | BIT(28) | BIT(29));         /* FMA, AVX, F16C */
}
static void answer(int sig, siginfo_t *info, void *context) {
  greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
  uint8_t *at = (uint8_t *)g[REG_RIP];
  uint32_t r[4], leaf = g[REG_RAX], sub = g[REG_RCX];
  if (at[0] != 0x0f || at[1] != 0xa2) { signal(SIGSEGV, SIG_DFL); return; }
  syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
  __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
  syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
  mask(leaf, sub, r);
  g[REG_RAX] = r[0]; g[REG_RBX] = r[1]; g[REG_RCX] = r[2]; g[REG_RDX] = r[3];
  g[REG_RIP] += 2;
}
__attribute__((constructor)) static void begin(void) {
  struct sigaction action;
  char *said = getenv("CARINA_LEFT_OUT");
  left_out = said ? atoi(said) : 0;
  if (!left_out) return;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = answer;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &action, 0);
  if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0)) { write(2, "CPUID does not fault here\n", 26); _exit(3); }
}
"""


def _compiler() -> str:
    found = shutil.which("cc") or shutil.which("gcc")
    if found is None:
        msg = "no C compiler"
        raise FileNotFoundError(msg)
    return found


def build_mask(folder: Path) -> Path | None:
    """Return the library, built in a folder; none where this machine cannot build or use it."""
    source, library = folder / "masked_processor.c", folder / "masked_processor.so"
    source.write_text(_SOURCE, "utf-8")
    try:
        subprocess.run(
            [_compiler(), "-O1", "-w", "-shared", "-fPIC", "-o", library, source], check=True, capture_output=True
        )
        subprocess.run([sys.executable, "-c", ""], check=True, capture_output=True, env=masked(library, SETS[-1]))
    except (OSError, subprocess.CalledProcessError):
        return None
    return library


def masked(library: Path, instruction_set: str) -> dict[str, str]:
    """Return the environment in which a command has an instruction set, and those after it in `SETS`, and no others."""
    return {**os.environ, "LD_PRELOAD": str(library), "CARINA_LEFT_OUT": str(SETS.index(instruction_set))}


def main() -> None:
    """Run a command with an instruction set."""
    instruction_set, *command = sys.argv[1:] or [""]
    if instruction_set not in SETS or not command:
        message = f"Name one of {', '.join(SETS)}, and a command."
        raise SystemExit(message)
    with TemporaryDirectory(prefix="carina-mask-") as folder:
        library = build_mask(Path(folder))
        if library is None:
            message = "This machine cannot hide instructions from a process."
            raise SystemExit(message)
        raise SystemExit(subprocess.run(command, env=masked(library, instruction_set), check=False).returncode)


if __name__ == "__main__":
    main()
