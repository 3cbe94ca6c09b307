"""The examples agree, and faults in them are named where they are."""

import inspect

import jax
import numpy as np
import optax
import pytest

from parity_tests.examples import checkpoints, conditional_gan, transformer

# Each compiles a pair; one fault of each kind is left for every run.
SLOW = pytest.mark.slow


@pytest.fixture(autouse=True)
def _float64():
    before = jax.config.read("jax_enable_x64")
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.mark.parametrize("example", [conditional_gan, transformer])
def test_a_pair_agrees(example):
    result = example.check()
    assert result.ok, result
    assert max(result.growth) < 1e-12
    assert result.coverage.steps == 10
    assert result.coverage.gradients


def _other_rates(monkeypatch):
    """In JAX alone."""
    rates = {"generator": 1e-3, "discriminator": 5e-3}
    training = conditional_gan.jax_training

    def of_jax(keep):
        with monkeypatch.context() as patch:
            patch.setattr(conditional_gan, "RATES", rates)
            return training(keep)

    monkeypatch.setattr(conditional_gan, "jax_training", of_jax)


def _without_stop_gradient(monkeypatch):
    monkeypatch.setattr(jax.lax, "stop_gradient", lambda x: x)


def _adam_with_b1(monkeypatch):
    adam = optax.adam
    monkeypatch.setattr(optax, "adam", lambda rate, b1, b2: adam(rate, 0.5, b2))


def _one_iteration_late(monkeypatch):
    """D judges with the power iteration of the pass before."""
    discriminate = conditional_gan.discriminate

    def late(params, spectrum, x, y):
        _, moved = discriminate(params, spectrum, x, y)
        return discriminate(params, moved, x, y)

    monkeypatch.setattr(conditional_gan, "discriminate", late)


def _reused_noise(monkeypatch):
    generate = conditional_gan.generate
    monkeypatch.setattr(
        conditional_gan,
        "generate",
        lambda params, z, y: generate(params, z[::-1], y),
    )


@pytest.mark.parametrize(
    ("fault", "kind", "cause"),
    [
        pytest.param(_other_rates, "metric", "unknown", marks=SLOW),
        # Of two updates of D the first has it, and JAX shows the second.
        pytest.param(_without_stop_gradient, "metric", "unknown", marks=SLOW),
        (_adam_with_b1, "moments", "b1"),
        pytest.param(_one_iteration_late, "metric", "unknown", marks=SLOW),
        pytest.param(_reused_noise, "metric", "unknown", marks=SLOW),
    ],
    ids=lambda of: getattr(of, "__name__", None),
)
def test_a_fault_of_the_conditional_gan(monkeypatch, fault, kind, cause):
    fault(monkeypatch)
    result = conditional_gan.check(3)
    first = result.first
    print(result)
    assert (first.entry.step, first.entry.kind) == (1, kind)
    assert first.phase == "update of discriminator"
    assert cause in result.explanation
    assert first.entry.error > 1000 * first.entry.bound


def _clip_without_epsilon(monkeypatch):
    monkeypatch.setattr(transformer, "clip", optax.clip_by_global_norm)


def _decay_of_optax(monkeypatch):
    adamw = optax.adamw
    monkeypatch.setattr(optax, "adamw", lambda rate, weight_decay: adamw(rate))


def _softmax_in_float32(monkeypatch):
    monkeypatch.setattr(
        transformer,
        "attention",
        lambda q, k, v: jax.nn.dot_product_attention(q, k, v, is_causal=True),
    )


def _approximate_gelu(monkeypatch):
    gelu = jax.nn.gelu
    monkeypatch.setattr(jax.nn, "gelu", lambda h, approximate: gelu(h))


def _no_warm_up(monkeypatch):
    monkeypatch.setattr(
        transformer,
        "rule",
        lambda keep: optax.chain(
            transformer.clip(transformer.LARGEST_NORM),
            keep(optax.adamw(transformer.RATE, weight_decay=0.01)),
        ),
    )


@pytest.mark.parametrize(
    ("fault", "kind", "cause"),
    [
        pytest.param(
            _clip_without_epsilon,
            "gradient",
            "times the reference",
            marks=SLOW,
        ),
        (_decay_of_optax, "weights", "weight decay (AdamW: 1e-4 in"),
        pytest.param(_softmax_in_float32, "metric", "", marks=SLOW),
        pytest.param(_approximate_gelu, "metric", "", marks=SLOW),
        (
            _no_warm_up,
            "weights",
            "it moved 5 times as far, as with a learning rate",
        ),
    ],
    ids=lambda of: getattr(of, "__name__", None),
)
def test_a_fault_of_the_transformer(monkeypatch, fault, kind, cause):
    fault(monkeypatch)
    result = transformer.check(3)
    print(result)
    assert (result.first.entry.step, result.first.entry.kind) == (1, kind)
    assert cause in result.explanation
    assert np.isfinite(result.growth).all()


def test_checkpoints_agree(tmp_path):
    checkpoints.save(tmp_path)
    result = checkpoints.check(tmp_path)
    assert result.ok, result
    assert result.coverage.arrays["weights"] == 6
    assert result.coverage.arrays["statistics"] == 2


def test_three_slips_of_a_conversion_are_explained(monkeypatch, tmp_path):
    statistics = checkpoints.statistics
    # Nothing of it shows in a shape.
    for name, slip in {
        "convolution": lambda weight: weight.transpose(3, 2, 1, 0),
        "after_image": np.transpose,
        "statistics": lambda state: {
            **statistics(state),
            "var": np.ones(checkpoints.CHANNELS),
        },
    }.items():
        monkeypatch.setattr(checkpoints, name, slip)
    checkpoints.save(tmp_path)
    result = checkpoints.check(tmp_path)
    causes = {of.entry.name: of.causes for of in result.divergences}
    assert causes == {
        "model/features/kernel": [
            "transposed: its axes are the reference's (1, 0, 2, 3), height and "
            "width swapped"
        ],
        "model/output/kernel": [
            "axis 0 is an image of 3 channels and 4x4, flattened channels "
            "first, in the reference channels last"
        ],
        "model/norm/var": ["1 everywhere: as in a new model, never copied"],
    }
    for (cause,) in causes.values():
        assert f"explained by: {cause}" in str(result)


def test_checking_takes_twenty_lines():
    for function in (
        checkpoints.check,
        checkpoints.check_network,
        conditional_gan.check,
        transformer.check,
    ):
        assert len(inspect.getsource(function).splitlines()) <= 20
