"""The parity method on pairs in NumPy alone, whose faults are known."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import parity_tests
from experiment.errors import InputError
from parity_tests.__main__ import main
from parity_tests.check import check_pair
from parity_tests.side import Event, Key, Taken
from parity_tests.side_faults import FAULTS, check_faults

W = Key("weights", "model", "out/kernel")
B = Key("weights", "model", "out/bias")
V = Key("moments", "model", "out/kernel", "momentum")
MEAN = Key("statistics", "model", "norm/mean")
COUNT = Key("moments", "model", "", "step")


class _Linear:
    """Least squares by momentum; x is centred by a running mean."""

    rate, keep, factor = 0.05, 0.9, 1.0
    dtype = np.float64

    def __init__(self):
        rng = np.random.default_rng(0)
        self.state = {
            W: rng.normal(size=(3, 2)).astype(self.dtype),
            B: np.zeros(2, self.dtype),
            V: np.zeros((3, 2), self.dtype),
            MEAN: np.zeros(3, self.dtype),
            COUNT: np.array(0),
        }

    def gradients(self, batch):
        s = self.state
        x, y = batch["x"].astype(self.dtype), batch["y"].astype(self.dtype)
        s[MEAN] = self.keep * s[MEAN] + (1 - self.keep) * x.mean(0)
        error = (x - x.mean(0)) @ s[W] + s[B] - y
        loss = self.factor * (error**2).mean()
        slope = (2 * self.factor / error.size) * error
        return loss, {W: x.T @ slope, B: slope.sum(0)}

    def update(self, gradients):
        s = self.state
        s[V] = 0.5 * s[V] + gradients[W]
        s[W] = s[W] - self.rate * s[V]
        s[B] = s[B] - self.rate * gradients[B]
        s[COUNT] = s[COUNT] + 1

    def step(self, batch):
        loss, gradients = self.gradients(batch)
        self.update(gradients)
        return Taken({"loss": loss}, (Event("model", gradients),))

    def read(self):
        return {key: array.copy() for key, array in self.state.items()}

    def write(self, state):
        self.state = dict(state)


def _batches(count=4):
    rng = np.random.default_rng(1)
    return [
        {"x": rng.normal(size=(8, 3)), "y": rng.normal(size=(8, 2))}
        for _ in range(count)
    ]


def _changed(**attributes):
    return type("Changed", (_Linear,), attributes)


def test_a_pair_that_agrees():
    result = check_pair(_Linear, _Linear, _batches())
    assert result.ok
    assert result.first is None
    result.raise_if()
    assert {of.name for of in result.errors} == {
        "loss",
        "model/out/kernel",
        "model/out/bias",
        "model/out/kernel (momentum)",
        "model/norm/mean",
        "model (step)",
    }
    covered = result.coverage
    assert covered.steps == 4
    assert covered.metrics == ("loss",)
    assert covered.arrays == {"weights": 2, "moments": 2, "statistics": 1}
    assert covered.gradients == 8
    assert not covered.left_out
    assert "agrees" in str(result)


class _ByAnotherSum(_Linear):
    """The same, but for rounding: sums run the other way."""

    def gradients(self, batch):
        return super().gradients({k: v[::-1] for k, v in batch.items()})


def test_rounding_is_no_difference():
    result = check_pair(_Linear, _ByAnotherSum, _batches(100))
    assert result.ok
    assert 0 < max(result.growth) < 1e-12


class _Late(_Linear):
    """Keeps its momentum a step behind."""

    def update(self, gradients):
        before = self.state[V]
        super().update(gradients)
        self.state[V] = before


class _Turned(_Linear):
    """Reads and writes its square kernel the other way round."""

    def gradients(self, batch):
        loss, gradients = super().gradients(batch)
        return loss, {**gradients, W: gradients[W][::-1].copy()}


@pytest.mark.parametrize(
    ("port", "kind", "name", "cause"),
    [
        (
            _changed(rate=0.1),
            "weights",
            "model/out/kernel",
            "it moved 2 times as far, as with a learning rate",
        ),
        (
            _changed(factor=8.0),
            "metric",
            "loss",
            "8 times the reference: a mean over 8",
        ),
        (
            _changed(factor=-1.0),
            "metric",
            "loss",
            "explained by: the sign",
        ),
        (
            _changed(keep=0.1),
            "statistics",
            "model/norm/mean",
            "it keeps 0.1 of its old value, the reference 0.9",
        ),
        (
            _Late,
            "moments",
            "model/out/kernel (momentum)",
            "one step late",
        ),
        (
            _Turned,
            "gradient",
            "model/out/kernel",
            "flipped along axis 0",
        ),
    ],
)
def test_a_fault_is_named_and_explained(port, kind, name, cause):
    result = check_pair(_Linear, port, _batches())
    first = result.first
    assert (first.entry.step, first.entry.kind) == (1, kind)
    assert first.entry.name == name
    assert cause in result.explanation
    assert first.entry.error > 1000 * first.entry.bound
    with pytest.raises(AssertionError, match="diverges in step 1"):
        result.raise_if()


class _Noisy(_Linear):
    """A gradient that is wrong in no way that has a name."""

    def gradients(self, batch):
        loss, gradients = super().gradients(batch)
        gradients[W] = gradients[W] + np.arange(6.0).reshape(3, 2) ** 2
        return loss, gradients


def test_an_unknown_cause_is_called_unknown():
    result = check_pair(_Linear, _Noisy, _batches())
    assert result.explanation.startswith("cause unknown; usual here: ")


class _TwoFaults(_Linear):
    """Another momentum from the start, and a third step without a bias."""

    keep = 0.5

    def update(self, gradients):
        if self.state[COUNT] == 2:
            gradients = {**gradients, B: 0 * gradients[B]}
        super().update(gradients)


def test_lockstep_names_independent_faults():
    free = check_pair(_Linear, _TwoFaults, _batches())
    assert [of.entry.name for of in free.divergences] == ["model/norm/mean"]
    found = check_pair(_Linear, _TwoFaults, _batches(), lockstep=True)
    at = {of.entry.name: of.entry.step for of in found.divergences}
    assert at == {"model/norm/mean": 1, "model/out/bias": 3}


def test_lockstep_of_a_pair_that_agrees():
    assert check_pair(_Linear, _ByAnotherSum, _batches(), lockstep=True).ok


class _Renamed(_Linear):
    """The same under other names."""

    def _renamed(self, state, old, new):
        return {
            key._replace(path=key.path.replace(old, new)): array
            for key, array in state.items()
        }

    def step(self, batch):
        metrics, (event,) = super().step(batch)
        gradients = self._renamed(event.gradients, "out", "Dense/0")
        return Taken(metrics, (Event("model", gradients),))

    def read(self):
        return self._renamed(super().read(), "out", "Dense/0")

    def write(self, state):
        super().write(self._renamed(state, "Dense/0", "out"))


def test_names_of_the_port():
    with pytest.raises(InputError, match=r"the port alone has model/Dense/0"):
        check_pair(_Linear, _Renamed, _batches())
    names = {"model/out": "model/Dense/0"}
    result = check_pair(_Linear, _Renamed, _batches(), names=names)
    assert result.ok
    assert result.coverage.gradients == 8


class _WithoutEvents(_Linear):
    """Whose gradients nobody sees."""

    def step(self, batch):
        return super().step(batch).metrics


def test_what_is_not_compared_is_said():
    result = check_pair(_Linear, _WithoutEvents, _batches(), ignore=["bias"])
    assert result.ok
    assert result.coverage.gradients == 0
    left_out = " ".join(result.coverage.left_out)
    assert "gradients, update of model: the reference alone" in left_out
    assert "model/out/bias (weights): ignored" in left_out
    assert "Not compared: " in str(result)


def test_a_permuted_control():
    def reverse(batch):
        return {name: array[::-1].copy() for name, array in batch.items()}

    result = check_pair(_Linear, _ByAnotherSum, _batches(), permute=reverse)
    assert result.ok

    with pytest.raises(InputError, match="changed its batch"):
        check_pair(
            _Linear,
            _changed(step=_mutating_step),
            _batches(),
            permute=reverse,
        )


def _mutating_step(self, batch):
    batch["x"] *= 2
    return _Linear.step(self, batch)


class _Views(_Linear):
    """Whose arrays change under the reader."""

    def update(self, gradients):
        self.state[W] -= self.rate * gradients[W]

    def read(self):
        return self.state


class _Doubled(_Linear):
    """Whose gradients are twice as large, and of no weight."""

    def step(self, batch):
        metrics, (event,) = super().step(batch)
        gradients = {
            key._replace(part="net"): 2 * array
            for key, array in event.gradients.items()
        }
        return Taken(metrics, (Event("net", gradients),))


class _OneGradient(_Linear):
    """Who leaves out a gradient."""

    def step(self, batch):
        metrics, (event,) = super().step(batch)
        return Taken(metrics, (Event("model", {W: event.gradients[W]}),))


class _OtherPart(_Linear):
    """Whose update is of another name."""

    def step(self, batch):
        metrics, (event,) = super().step(batch)
        return Taken(metrics, (event._replace(part="net"),))


class _NotFinite(_Linear):
    """Whose loss is no number."""

    def gradients(self, batch):
        return np.nan, super().gradients(batch)[1]


class _Transposed(_Linear):
    """Whose kernel has another shape."""

    def read(self):
        return {**super().read(), W: self.state[W].T.copy()}


class _Forgets(_Linear):
    """Does not take what is written."""

    def write(self, state):
        super().write({**state, W: state[W] + 1})


class _Extra(_Linear):
    """With a third array that the reference has not."""

    def read(self):
        return {**super().read(), Key("statistics", "model", "x"): np.ones(2)}


class _Strings(_Linear):
    """Whose names are no keys."""

    def read(self):
        return {str(key): array for key, array in super().read().items()}


class _OtherMetric(_Linear):
    """Who gives another metric."""

    def step(self, batch):
        taken = super().step(batch)
        return Taken({"g_loss": taken.metrics["loss"]}, taken.events)


class _Unused(_Linear):
    """Whose steps do not depend on its weights."""

    def gradients(self, batch):
        gradients = {W: np.ones((3, 2)), B: np.ones(2)}
        return np.array(1.0), gradients

    def update(self, gradients):
        self.state[V] = self.state[V] + 1
        self.state[W] = 0 * self.state[W] + self.state[V]


class _Random(_Linear):
    """Whose steps differ from call to call."""

    made = 0

    def __init__(self):
        super().__init__()
        type(self).made += 1
        self.rate = 0.1 * self.made


@pytest.mark.parametrize(
    ("reference", "port", "message"),
    [
        (_Linear, _Views, "the port's read gives a view of model/out/kernel"),
        (_NotFinite, _Linear, "metric loss of the reference is not finite"),
        (_Linear, _Transposed, r"is \[3, 2\] in the reference and \[2, 3\]"),
        (_Linear, _Forgets, "does not give back model/out/kernel"),
        (_Linear, _Extra, r"the port alone has model/x \[2\] \(statistics\)"),
        (_Linear, _Strings, "must be a Key"),
        (_Linear, _OtherMetric, "alone has the metric"),
        (_Linear, _Doubled, "which is no weight of its state"),
        (_Linear, _OneGradient, "alone has the gradient model/out/bias"),
        (_Linear, _OtherPart, "no gradient of the reference has the name"),
        (_Linear, _changed(dtype=np.float32), "float64 in the reference"),
        (
            _Linear,
            _changed(step=lambda self, batch: {"loss": 0.0}),
            "a step of the port changes nothing",
        ),
        (_Unused, _Unused, "the control is empty"),
        (_Random, _Linear, "the reference must be deterministic"),
    ],
)
def test_misuse_is_one_clear_line(reference, port, message):
    with pytest.raises(InputError, match=message) as raised:
        check_pair(reference, port, _batches())
    assert "\n" not in str(raised.value)


def test_a_port_that_is_not_finite_diverges():
    result = check_pair(_Linear, _NotFinite, _batches())
    assert result.first.entry.name == "loss"
    assert result.first.entry.error == np.inf


def test_integers_must_be_equal():
    class Counts(_Linear):
        def update(self, gradients):
            super().update(gradients)
            self.state[COUNT] = self.state[COUNT] + 1

    result = check_pair(_Linear, Counts, _batches())
    assert result.first.entry.name == "model (step)"
    assert result.first.entry.bound == 0


def test_no_batch():
    with pytest.raises(InputError, match="there is no batch"):
        check_pair(_Linear, _Linear, [])


def test_what_is_ignored_starts_equal_and_has_no_gradients():
    class Biased(_Linear):
        def __init__(self):
            super().__init__()
            self.state[B] = np.ones(2)

    result = check_pair(_Linear, Biased, _batches(), ignore=["bias"])
    assert result.ok, result
    assert "model/out/bias (gradient): ignored" in result.coverage.left_out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"controls": -1}, "controls is -1: it must be 0 or more"),
        ({"order": ["d"]}, "no part 'd', which order or metrics names"),
        ({"metrics": {"loss": "d"}}, "no part 'd'"),
        ({"metrics": {"g_loss": "model"}}, "metrics names 'g_loss'"),
        ({"ignore": ["["]}, r"ignore '\[' is no regular expression"),
        ({"factor": -1.0}, "factor is -1.0: it must be 0 or more"),
        ({"names": {"a": "b"}}, "nothing that is called a; it has model"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        check_pair(_Linear, _Linear, _batches(), **options)


def test_a_function_that_returns_no_side():
    with pytest.raises(InputError, match="gave None, which has no method"):
        check_pair(_Linear, lambda: None, _batches())


def test_two_layers_of_one_name():
    names = {"a": "x", "b": "x"}
    with pytest.raises(InputError, match="two arrays one name"):
        check_pair(_Linear, _Linear, _batches(), names=names)


def test_an_exception_keeps_its_traceback_and_says_where():
    class Fails(_Linear):
        def step(self, batch):
            if self.state[COUNT] == 2:
                raise ZeroDivisionError("of the user")
            return super().step(batch)

    with pytest.raises(ZeroDivisionError, match="of the user") as raised:
        check_pair(_Linear, Fails, _batches())
    assert raised.value.__notes__ == ["In the port, step 3."]
    assert raised.traceback[-1].name == "step"


class _Adam(_Linear):
    """Float32, with the bias correction as it should be computed."""

    dtype, b2 = np.float32, 0.99999

    def correction(self, t):
        return -np.expm1(t * np.log(np.float64(self.b2)))

    def update(self, gradients):
        s, f = self.state, np.float32
        s[COUNT] = s[COUNT] + 1
        s[V] = f(self.b2) * s[V] + f(1 - self.b2) * gradients[W] ** 2
        root = np.sqrt(s[V] / f(self.correction(int(s[COUNT]))))
        s[W] = s[W] - f(0.01) * gradients[W] / (root + f(1e-8))


class _NaiveAdam(_Adam):
    """By the formula as it is written, in float32."""

    def correction(self, t):
        b2 = np.float32(self.b2)
        power = np.float32(1)
        for _ in range(t):
            power = power * b2
        return np.float32(1) - power


class _AdamReversed(_Adam):
    """Right, with other rounding."""

    def gradients(self, batch):
        return super().gradients({k: v[::-1] for k, v in batch.items()})


@pytest.mark.parametrize("lockstep", [False, True])
def test_float32_is_judged(lockstep):
    """1 - b2^t loses half of float32's digits; it must not pass."""
    right = check_pair(_Adam, _AdamReversed, _batches(10), lockstep=lockstep)
    assert right.ok, right
    naive = check_pair(_Adam, _NaiveAdam, _batches(10), lockstep=lockstep)
    assert naive.first.entry.kind == "weights"
    assert naive.first.entry.step == 1


def test_no_check_vanishes_under_optimization():
    """Python drops assert statements there."""
    folder = Path(parity_tests.__file__).parent
    for path in folder.rglob("*.py"):
        if not path.name.startswith(("test_", "conftest")):
            tree = ast.parse(path.read_text())
            assert not any(isinstance(n, ast.Assert) for n in ast.walk(tree))


def test_the_floor_alone_and_several_controls():
    bounded = check_pair(_Linear, _ByAnotherSum, _batches(), controls=0)
    assert bounded.ok
    assert bounded.control == ()
    assert {of.bound for of in bounded.errors} == {0, 1e-12}
    one, five = (
        check_pair(_Linear, _Linear, _batches(), controls=n) for n in (1, 5)
    )
    # The first of the five is the one.
    assert all(a >= b for a, b in zip(five.control, one.control, strict=True))
    assert five.control != one.control


def test_states_of_some_steps():
    faulty = _changed(keep=0.8)
    result = check_pair(_Linear, faulty, _batches(), states_at=(3,))
    assert result.first.entry.name == "model/norm/mean"
    assert result.first.entry.step == 3
    assert (result.coverage.states, result.coverage.gradients) == (1, 2)
    assert "arrays after 1 of them: 2 of weights" in str(result)
    # The loss does not depend on the running mean.
    metrics = {"states_at": (), "metrics": {"loss": "model"}}
    none = check_pair(_Linear, faulty, _batches(), **metrics)
    assert none.ok
    assert none.coverage.arrays["statistics"] == 0
    wrong = check_pair(_Linear, _changed(factor=2.0), _batches(), **metrics)
    assert wrong.first.phase == "update of model"


def test_nothing_compared_is_no_agreement():
    class Silent(_Linear):
        def step(self, batch):
            super().step(batch)
            return {}

    with pytest.raises(InputError, match="nothing was compared"):
        check_pair(Silent, Silent, _batches(), states_at=())


class _BeforeNorm(_Linear):
    """Whose bias is before a batch norm: its gradient is rounding alone."""

    def gradients(self, batch):
        s = self.state
        h = batch["x"] @ s[W] + s[B]
        error = h - h.mean(0) - batch["y"]
        slope = (2 / error.size) * (error - error.mean(0))
        return (error**2).mean(), {W: batch["x"].T @ slope, B: slope.sum(0)}

    def update(self, gradients):
        """By Adam without memory, which divides the bias's by its size."""
        for key, gradient in gradients.items():
            step = gradient / (np.abs(gradient) + 1e-8)
            self.state[key] = self.state[key] - 0.05 * step


class _BeforeNormReversed(_BeforeNorm):
    """Right, with other rounding."""

    def gradients(self, batch):
        return super().gradients({k: v[::-1] for k, v in batch.items()})


def test_a_bias_before_a_batch_norm_raises_no_alarm():
    """One bound for all arrays would; each has its own, of the control."""
    pair = _BeforeNorm, _BeforeNormReversed
    alarm = check_pair(*pair, _batches(), controls=0)
    assert alarm.first.entry.name == "model/out/bias"
    # Of two numbers, one control may round both as the reference does.
    assert check_pair(*pair, _batches(), controls=5).ok


def test_neither_framework_is_loaded():
    code = (
        "import sys, parity_tests.check; "
        "print('pytest' in sys.modules); "
        "import parity_tests.plugin; "
        "print(sorted({'jax', 'torch', 'flax'} & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert shown.stdout.split() == ["False", "[]"], shown.stderr


def test_faults_of_any_side_are_detected():
    found = check_faults(_Linear, _batches())
    assert [of.fault for of in found] == list(FAULTS)
    for of in found:
        assert of.margin > 1000, of


def test_faults_that_a_side_cannot_have_are_left_out():
    ignore = ["mean"]
    found = check_faults(_Linear, _batches(), ignore=ignore)
    assert "statistics that stay" not in {of.fault for of in found}


def test_a_fault_that_is_none_is_not_detected():
    (found,) = check_faults(_Linear, _batches(), {"none": lambda side: side})
    assert found.margin == 0
    assert str(found) == "none: not detected"


@pytest.fixture
def skeleton(tmp_path, monkeypatch):
    """The guide's file, as ``mine`` in the working folder."""
    guide = Path(parity_tests.__file__).with_name("README.md").read_text()
    (code,) = re.findall(r"```python\n(import jax\n.*?)```", guide, re.DOTALL)
    (tmp_path / "mine.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return ["check", "mine:reference", "mine:port", "--batches", "mine:batches"]


def test_the_guides_skeleton(skeleton, tmp_path, capsys):
    page = tmp_path / "result.html"
    names = ["--name", "model/0=model/dense", "--html", str(page)]
    assert main([*skeleton, *names]) == 0
    shown = capsys.readouterr().out
    assert "2 of weights, 5 of moments, 0 of statistics" in shown
    assert "arrays of gradients: 20" in shown
    assert "<td>model/0/kernel (v)</td>" in page.read_text()


def test_a_port_that_diverges_ends_with_status_1(skeleton, capsys):
    code = Path("mine.py").read_text()
    wrong = code.replace("optax.adam(1e-2)", "optax.adam(1e-2, b2=0.99)")
    assert wrong != code
    Path("mine.py").write_text(wrong)
    assert main([*skeleton, "--name", "model/0=model/dense"]) == 1
    assert "explained by: 10 times the reference" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ([], ["model/0/kernel [8, 1] (weights)", "--name OLD=NEW"]),
        (["--name", "model/0"], ["'model/0' is not OLD=NEW"]),
        (["--batches", "mine:none"], ["--batches mine:none"]),
        (["--batches", "nowhere:x"], ["--batches nowhere:x"]),
    ],
)
def test_bad_input_of_the_command(skeleton, refused, options, parts):
    refused(main, [*skeleton, *options], *parts)
