"""What was to be reached, and whether it was: a paragraph from the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from benchmarks.capture_steps import Profile

#: Model (index of `CASES`) -> interval -> the greatest ratio of step times that was aimed at.
STEP: Final[Mapping[int, Mapping[int, float]]] = {
    0: {1: 1.15, 10: 1.02, 100: 1.005},
    1: {1: 1.35, 10: 1.04, 100: 1.01},
}
#: Ratio of the steps between captures, of a recording's bytes to its rows' own, and microseconds a module call.
BETWEEN, DISK, CALL = 1.01, 1.05, 30.0


def verdict(
    names: Mapping[int, str],
    ratios: Mapping[int, Mapping[int, float]],
    between: Mapping[int, float],
    sizes: Mapping[int, float],
    profiles: Mapping[int, Profile],
    reads: Mapping[int, float],
    call: float,
) -> str:
    """The goals one by one, those that were missed with where the time goes; ``reads``: kernels over one `sum`.

    All are by model but ``call``, the microseconds that a module call costs.
    """
    said = []
    for case, goals in STEP.items():
        found = ratios.get(case, {})
        parts = [f"every {n}: {found[n]:.3f}, {_met(found[n], goal)}" for n, goal in goals.items() if n in found]
        if case in between:
            parts.append(f"steps between: {between[case]:.3f}, {_met(between[case], BETWEEN)}")
        if case in sizes:
            parts.append(f"bytes over the rows' own: {sizes[case]:.2f}, {_met(sizes[case], DISK)}")
        line = f"- {names[case]}: {'; '.join(parts)}."
        if any(found.get(n, 0.0) > goal for n, goal in goals.items()) and case in profiles:
            line += f" {_where(profiles[case], reads[case], goals[1])}"
        said.append(line)
    said.append(f"- A module call: {call:.0f} µs, {_met(call, CALL, 'µs')}.")
    return "Goals (medians):\n\n" + "\n".join(said)


def _met(value: float, goal: float, unit: str = "") -> str:
    limit = f"{goal:g} {unit}".strip()
    return f"met (≤ {limit})" if value <= goal else f"**missed** (≤ {limit})"


def _where(profile: Profile, read: float, goal: float) -> str:
    whole = profile.added[-1]
    return (
        f"A captured step adds {whole:.1f} ms of the training thread's own time to one of {profile.plain:.1f} ms, "
        f"where {(goal - 1) * profile.plain:.1f} ms were aimed at: {profile.kernels:.1f} ms in the kernels, which take "
        f"{read:.1f} times as long as one `sum` of the same tensors, and {whole - profile.kernels:.1f} ms in Python "
        "(hooks, keys, hand-over to the writer)."
    )
