"""The page of profiles: where an iteration's time goes."""

import html
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from experiment.pages import describe, markdown_table

SHOWN = 10  # operators of a table
ALIKE = 0.05  # runs with and without the tracer must agree within it
_PROFILED_GRAPHS = "--xla_enable_command_buffers_during_profiling=true"
_UTILISATION = (
    "Utilisation: how long at least one {operator} ran in the fastest traced "
    "run, over the time of the fastest run without a tracer, because a tracer "
    "slows launches. It is unknown if it would exceed 105 %, or if traced runs "
    "were faster by more than 5 %: then background load affected the runs. "
    "Time: of an iteration, in the traced run; what runs inside another "
    "{operator} counts there alone. Share: of the time of all {operator}s."
)
_LEGEND = {
    "cpu": _UTILISATION.format(operator="operator")
    + " JAX's tracer records the threads of every operator, and its time is "
    "their sum: it may exceed that of the iteration. PyTorch's records the "
    "calling thread alone, which dispatches the operators, takes part in their "
    "work and waits for their other threads. So the times of the two tables "
    "cannot be compared; their utilisation can.",
    "gpu": _UTILISATION.format(operator="kernel")
    + " Copies and fills of memory count as kernels.",
}


def page(results: Mapping[str, Any]) -> str:
    """All profiles, as Markdown."""
    plan = results["plan"]
    sections = [
        "# Where an iteration's time goes",
        f"{_hardware(results)}; float32. {plan['steps']} iterations a run; "
        "each variant in its own process.",
        _LEGEND[plan["device"]],
    ]
    if plan["device"] == "gpu":
        sections.append(_command_buffers(results["xla_flags"]))
    if results["failed"]:
        sections.append(f"Incomplete: {results['failed']}.")
    for name, of in results["workloads"].items():
        recipe = name.partition(":")[0]
        sections.append(f"## {recipe}, batch {of['batch_size']}")
        for variant, reason in of["refused"].items():
            sections.append(f"{variant} is excluded: {_plain(reason)}.")
        for variant, profile in of["variants"].items():
            sections += [f"### {variant}", *_section(profile, plan)]
    return "\n\n".join(sections) + "\n"


def describe_variant(profile: Mapping[str, Any], steps: int) -> str:
    """One line: the time of an iteration, and the utilisation."""
    seconds, traced = min(profile["seconds"]), min(profile["traced_seconds"])
    calls = sum(of["calls"] for of in profile["operators"])
    microseconds = sum(of["microseconds"] for of in profile["operators"])
    concurrent = microseconds * steps / 1e6 / profile["busy_seconds"]
    share = profile["busy_seconds"] / seconds
    utilisation = f"{share:.0%} ({concurrent:.2f} concurrent)"
    if share > 1 + ALIKE or traced < (1 - ALIKE) * seconds:
        utilisation = "unknown"
    return (
        f"{1000 * seconds / steps:.3f} ms an iteration without the tracer "
        f"(slowest run: {1000 * max(profile['seconds']) / steps:.3f}), "
        f"{1000 * traced / steps:.3f} ms with it; "
        f"{calls:,.0f} calls; utilisation {utilisation}"
    )


def _hardware(results: Mapping[str, Any]) -> str:
    machine = describe(results["machine"])
    if results["plan"]["device"] == "cpu":
        return machine
    names = {
        profile["settings"]["device"]
        for of in results["workloads"].values()
        for profile in of["variants"].values()
    }
    return "; ".join([*sorted(names), machine])


def _command_buffers(flags: str) -> str:
    kind = "with" if _PROFILED_GRAPHS in flags.split() else "without"
    return (
        f"XLA was traced {kind} command buffers (CUDA graphs); the runs "
        "without a tracer have those that XLA_FLAGS allow: "
        f"{_plain(flags) or 'the default ones'}."
    )


def _section(profile: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{describe_variant(profile, plan['steps'])}.",
        _table(profile["operators"], plan["device"]),
    ]
    if any(of.get("origin") for of in profile["operators"]):
        lines.append(_by_operation(profile["operators"]))
    if "thunks" in profile:
        lines.append(_launches(profile["thunks"]))
    settings = profile["settings"].items()
    shown = ", ".join(f"{name} {value}" for name, value in settings)
    return [*lines, f"Settings: {shown}."]


def _table(operators: Sequence[Mapping[str, Any]], device: str) -> str:
    first = operators[:SHOWN]
    rows = [_cells(of["name"], [of], operators) for of in first]
    header = ["kernel" if device == "gpu" else "operator"]
    if any(of.get("origin") for of in operators):
        header.append("from")
        for row, of in zip(rows, first, strict=True):
            row.insert(1, _plain(of["origin"]))
    if others := operators[SHOWN:]:
        row = _cells(f"{len(others)} others", others, operators)
        row[1:1] = [""] * (len(header) - 1)
        rows.append(row)
    return markdown_table([*header, "calls", "time", "share"], rows)


def _cells(
    name: str,
    of: Sequence[Mapping[str, Any]],
    operators: Sequence[Mapping[str, Any]],
) -> list[str]:
    microseconds = sum(o["microseconds"] for o in of)
    everything = sum(o["microseconds"] for o in operators)
    return [
        _plain(name),
        f"{sum(o['calls'] for o in of):.4g}",
        f"{microseconds:,.1f} µs",
        f"{microseconds / everything:.1%}",
    ]


def _by_operation(operators: Sequence[Mapping[str, Any]]) -> str:
    """Times by JAX's operation, summed over layers and networks."""
    sums: dict[str, float] = defaultdict(float)
    for of in operators:
        operation = of["origin"].rpartition("/")[2] or "unknown"
        sums[operation] += of["microseconds"]
    everything = sum(sums.values())
    longest = sorted(sums, key=sums.__getitem__, reverse=True)[:SHOWN]
    shown = ", ".join(
        f"{name} {sums[name] / everything:.0%}" for name in longest
    )
    return f"By the operation of JAX (of a fusion, its last): {_plain(shown)}."


def _launches(thunks: Mapping[str, Mapping[str, int]] | None) -> str:
    if thunks is None:
        return "XLA's dump has no thunk sequence to count, as on a CPU."
    single, captured = (
        ", ".join(f"{kind} {n}" for kind, n in sorted(thunks[key].items()))
        for key in ("single", "captured")
    )
    return (
        "XLA's thunks (of its loop over iterations, if it has one): "
        f"{single or 'none'}; in command buffers: {captured or 'none'}."
    )


def _plain(text: str) -> str:
    """Escapes what Markdown would not take for text, also in a table."""
    return html.escape(text, quote=False).replace("|", "\\|")
