"""Files are whole at every moment, and readable by whom the umask says."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from experiment import files
from experiment.checkpoints import load_checkpoint, save_checkpoint


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "it.json"
    files.replace_text(path, "old")

    def write():
        with files.replacing(path) as partial:
            partial.write_text("ne")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk"):
        write()
    assert path.read_text() == "old"
    files.replace_text(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["it.json"]
    assert path.read_text() == "new"


def test_it_is_on_the_disk_before_it_takes_the_place(tmp_path, monkeypatch):
    done = []
    sync, replace = os.fsync, os.replace

    def synced(descriptor):
        done.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    def replaced(*paths):
        done.append("replaced")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    files.replace_text(tmp_path / "it", "text")
    assert done == [str(tmp_path / "it.partial"), "replaced", str(tmp_path)]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_modes_of_a_checkpoint_are_those_of_the_umask(mask, tmp_path):
    before = os.umask(mask)
    try:
        save_checkpoint(tmp_path, 1, {"w": np.zeros(2)})
    finally:
        os.umask(before)
    path = tmp_path / "checkpoints" / "000001.safetensors"
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask
    assert load_checkpoint(tmp_path)[0] == 1


@pytest.mark.parametrize(
    ("platform", "device"), [("rocm", "auto"), ("cuda", "cpu")]
)
def test_a_platform_that_jax_does_not_find(platform, device, tmp_path):
    if platform == "cuda" and jax.default_backend() == "gpu":
        pytest.skip("this machine has a GPU")
    environment = os.environ | {"JAX_PLATFORMS": platform}
    options = ["--device", device, "--out", tmp_path / "run"]
    found = subprocess.run(
        [sys.executable, "-m", "jax_gan", "train", *options],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 2
    last = found.stderr.splitlines()[-1]
    said = f"error: --device {device}: JAX_PLATFORMS is '{platform}'"
    assert last.startswith(said)
    assert "Traceback" not in found.stderr
    assert not (tmp_path / "run").exists()
