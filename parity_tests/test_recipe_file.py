"""A user's own recipe: what its file may say, and one clear line if not."""

import json
from functools import partial

import pytest

from experiment.checkpoints import load_checkpoint
from experiment.cli import main
from experiment.config import Config
from experiment.recipe_file import find_recipe, read_recipe
from experiment.recipes import recipe
from experiment.run import load_config

TOML = """
base = "lecture"
loss = "least-squares"
discriminator_hidden = [8]
generator_hidden = [8]
sample_every = 2
"""
CHANGES = {
    "loss": "least-squares",
    "discriminator_hidden": (8,),
    "generator_hidden": (8,),
    "sample_every": 2,
}


@pytest.fixture
def written(tmp_path):
    """Writes a file and gives its path."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(
            content if isinstance(content, bytes) else content.encode()
        )
        return path

    return write


def test_toml(written):
    path = written("mine.toml", TOML)
    expected = recipe("lecture", recipe="mine.toml", **CHANGES)
    assert read_recipe(path) == expected
    assert find_recipe(str(path), k=3) == recipe(
        "lecture", recipe="mine.toml", k=3, **CHANGES
    )


def test_json_without_a_base(written):
    path = written("mine.json", json.dumps({"k": 2, "learning_rate": 1}))
    expected = Config(recipe="mine.json", k=2, learning_rate=1)
    assert read_recipe(path) == expected


def test_known_recipes_are_found():
    assert find_recipe("mlp", k=2) == recipe("mlp", k=2)


BAD = {
    "no fields": ("a.toml", "", "holds no fields"),
    "unknown field": ("a.toml", "lerning_rate = 1", "'lerning_rate'", "lear"),
    "as an option": ("a.toml", "batch-size = 1", "'batch-size'", "batch_size"),
    "unknown base": ("a.toml", 'base = "digit"', "'digit'", "digits"),
    "base of a type": ("a.json", '{"base": ["mlp"]}', "base", "digits"),
    "name": ("a.json", '{"recipe": "mlp"}', "recipe", "leave it out"),
    "type": ("a.toml", 'k = "two"', "k is two", "whole number"),
    "truth": ("a.toml", "k = true", "k is True", "whole number"),
    "sizes": ("a.toml", "generator_hidden = 9", "is 9", "whole numbers"),
    "table": ("a.toml", "[k]\nfirst = 1", "k is", "whole number"),
    "choice": ("a.toml", 'loss = "hinges"', "'hinges'", "hinge,"),
    "range": ("a.json", '{"k": 0}', "k is 0", "at least 1"),
    "spelling": ("a.toml", "learning_rate = 0", " learning_rate is 0"),
    "of both": (
        "a.toml",
        'network = "dcgan"\noutput_bias = "mean"\nkeep_hidden = 1',
        " output_bias mean has a value for each pixel",
    ),
    "twice": ("a.json", '{"k": 1, "k": 2}', "'k' is there twice"),
    "of two": (
        "a.toml",
        'base = "paper"\nloss = "hinge"',
        "loss hinge",
        "take loss saturating or",
    ),
    "toml": ("a.toml", "k 2", "not valid TOML", "line 1"),
    "json": ("a.json", "{'k': 2}", "not valid JSON", "line 1"),
    "empty": ("a.json", "", "not valid JSON", "line 1"),
    "list": ("a.json", "[2]", "no fields", '{"base"'),
    "bytes": ("a.toml", b"k = \xff", "not valid TOML", "utf-8"),
    "suffix": ("a.yaml", "k: 2", "a.yaml", ".json or .toml"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_file(case, written, tmp_path, refused):
    name, content, *parts = BAD[case]
    path = written(name, content)
    out = tmp_path / "run"
    for command in (["train", "--out", out], ["info"]):
        refused(
            partial(main, "jax_gan"), [*command, "--recipe", path], path, *parts
        )
    assert not out.exists()


def test_missing_file(tmp_path, refused):
    path = tmp_path / "nope.toml"
    refused(partial(main, "jax_gan"), ["train", "--recipe", path], path)


def test_a_run_needs_its_file_no_more(written, tmp_path, capsys):
    path, out = written("mine.toml", TOML), tmp_path / "run"
    command = partial(_run, "jax_gan")
    options = "--recipe", path, "--steps", 2, "--batch-size", 4, "--out", out
    assert command("train", *options) == 0
    assert command("info", "--recipe", path) == 0
    assert "least-squares" in capsys.readouterr().out
    path.unlink()
    assert load_config(out) == recipe(
        "lecture", recipe="mine.toml", steps=2, batch_size=4, **CHANGES
    )
    assert _run("torch_ref", "train", "--resume", out, "--steps", 4) == 0
    step = load_checkpoint(out).step
    assert step == 4
    assert command("info", "--run", out) == 0
    assert "mine.toml" in capsys.readouterr().out


def _run(twin, *arguments):
    return main(twin, [str(argument) for argument in arguments])
