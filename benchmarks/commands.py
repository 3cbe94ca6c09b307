"""What each command of the benchmark does.

A command imports what it needs when it runs: none waits for a framework that
another needs, and the ladder's own process has none.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks import ladder, plan, quick, results, stability
from benchmarks.variant_names import VARIANTS, duplicate
from experiment import lock
from experiment.errors import InputError
from experiment.recipes import recipe


def _progress() -> Callable[[str], None]:
    """Prints a line on stderr."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    return lambda line: console.print(line)


def _require_place(out: Path) -> None:
    if out.is_dir():
        raise InputError(f"--out {out} is a folder: name a file in it")
    out.parent.mkdir(parents=True, exist_ok=True)


def _require_pages(out: Path, *suffixes: str) -> None:
    """For a JSON file whose pages have the same name."""
    if out.suffix != ".json":
        raise InputError(
            f"--out {out} must end in .json: the same name with "
            f"{' and '.join(suffixes)} is written next to it"
        )
    _require_place(out)
    for suffix in suffixes:
        existing = out.with_suffix(suffix)
        if existing.exists() and not out.exists():
            raise InputError(
                f"--out {out}: {existing} exists already and would be "
                "replaced; choose another name"
            )


def run_ladder(options: argparse.Namespace) -> int:
    """Times the variants in turns."""
    if options.matmul == "tf32" and options.device == "cpu":
        raise InputError("--matmul tf32 is for GPUs: add --device gpu")
    wanted = plan.Plan(
        options.device,
        options.matmul,
        tuple(dict.fromkeys(options.workloads)),
        _variants(options),
        options.rounds,
        options.repetitions,
        options.block,
        options.budget,
        jobs=options.jobs,
    )
    _require_place(options.out)
    with lock.hold(options.out):
        earlier = None
        if options.add and options.out.exists():
            earlier = results.load(options.out)
            plan.require_same(wanted, earlier, options.out)
        measured = ladder.measure(
            wanted, options.out, _progress(), None, earlier
        )
    return int(measured["failed"] is not None)


def _variants(options: argparse.Namespace) -> tuple[str, ...]:
    """The variants of --variants, with the members of its groups."""
    best = plan.HEADLINE[options.device]
    groups = {
        "headline": [*best, *map(duplicate, best)],
        "sweep": [f"{twin} seeds-{n}" for n in plan.SWEEP for twin in VARIANTS],
    }
    others = plan.OTHERS[options.device].split(", ")
    names = options.variants or ["headline", *others]
    members = (v for name in names for v in groups.get(name, [name]))
    return tuple(dict.fromkeys(members))


def run_quick(options: argparse.Namespace) -> int:
    """Compares the twins' best variants on a few recipes."""
    wanted = quick.plan(options.device, options.budget)
    if options.out:
        _require_place(options.out)
    measured = ladder.measure(wanted, options.out, _progress())
    status = int(measured["failed"] is not None)
    if not any(map(quick.images_per_second, measured["workloads"].values())):
        return status
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(quick.table(measured))
    for line in quick.notes(measured):
        console.print(line)
    console.print(f"\nFor an issue:\n{quick.line(measured)}")
    return status


def run_session(options: argparse.Namespace) -> int:
    """Runs the prepared session on a rented GPU."""
    from benchmarks import session
    from benchmarks.script import FULL, REHEARSAL

    if options.rehearse != (options.device == "cpu"):
        raise InputError(
            "--rehearse goes with --device cpu, and a GPU with neither"
        )
    if options.rehearse and options.commit:
        raise InputError("--commit: a rehearsal measures nothing")
    script = REHEARSAL if options.rehearse else FULL
    status = session.run(script, options.out, options.data_dir, _progress())
    if options.commit and not status:
        for path in session.commit(options.out):
            print(path)
    return status


def run_profile(options: argparse.Namespace) -> int:
    """Profiles variants: where an iteration's time goes."""
    from benchmarks import profile, profile_report

    best = plan.HEADLINE[options.device]
    wanted = profile.Plan(
        options.device,
        tuple(dict.fromkeys(options.workloads)),
        tuple(dict.fromkeys(options.variants or best)),
        options.steps,
    )
    _require_pages(options.out, ".md")
    with lock.hold(options.out):
        measured = profile.measure(wanted, options.out, _progress())
    print(profile_report.page(measured))
    return int(measured["failed"] is not None)


def run_devices(options: argparse.Namespace) -> int:
    """Measures what several devices cost."""
    from benchmarks import devices, devices_report

    wanted = devices.Plan(
        tuple(dict.fromkeys(options.workloads)),
        tuple(dict.fromkeys(options.counted)),
        options.rounds,
        options.repetitions,
        options.block,
        options.budget,
    )
    _require_pages(options.out, ".md")
    with lock.hold(options.out):
        measured = devices.measure(wanted, options.out, _progress())
    print(devices_report.page(measured))
    return int(measured["failed"] is not None)


def write_report(options: argparse.Namespace) -> int:
    """Writes tables and plots of a measured ladder."""
    measured = results.load(options.file)
    from benchmarks import report

    report.write(options.out, measured)
    print(options.out / "REPORT.md")
    print(options.out / "report.html")
    return 0


def run_quality(options: argparse.Namespace) -> int:
    """Studies how good the samples are."""
    from benchmarks import quality, quality_report

    _require_place(options.out)
    with lock.hold(options.out):
        results = quality.study(
            options.recipes,
            options.seeds,
            options.steps,
            options.data_dir,
            options.download,
            options.out,
            _progress(),
        )
    print(quality_report.tables(results))
    return 0


def run_stability(options: argparse.Namespace) -> int:
    """Studies how often a recipe succeeds."""
    out = options.out
    changes = {} if options.steps is None else {"steps": options.steps}
    wanted = stability.Plan(
        recipe(options.recipe, **changes), options.data_dir, options.download
    )
    runs = stability.plan_runs(options.seeds, options.perturbed)
    if options.jobs < 1:
        raise InputError(f"--jobs is {options.jobs}: it must be at least 1")
    _require_pages(out, ".md", ".png")
    # A spawned process loads NumPy, and with it NumPy's threads, before it can
    # be told how many to start.
    os.environ["OMP_NUM_THREADS"] = "1"
    with lock.hold(out):
        from benchmarks import stability_report, stability_study

        results = stability_study.measure(
            wanted, runs, options.jobs, out, _progress()
        )
        print(stability_report.tables(results))
        for path in stability_report.write(out, results):
            print(path)
    return 0


def write_readme(_: argparse.Namespace) -> int:
    """Writes the tables of the README files."""
    from benchmarks.readme import write_pages

    for path in write_pages():
        print(path)
    return 0
