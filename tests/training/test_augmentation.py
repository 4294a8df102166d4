"""Augmented batches against torchvision, scipy and formulas; what they follow from, and what they leave alone."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import cross_entropy, linear
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as torchvision

from mlptrain.data import Examples, Preprocessing, Scale
from mlptrain.data.augmentation import Augmentation
from mlptrain.data.batches import Batches, epoch_order
from mlptrain.data.distortion import displacements, erase_, inverse_affine, resample
from mlptrain.experiment import resume, train, train_seeds
from mlptrain.experiment.build import build_trainer, load_data
from mlptrain.nn.engines import ENGINES, Engine
from mlptrain.sources.facts import DataFacts
from mlptrain.spec import load_text
from mlptrain.spec.augmentation import AugmentationSpec, ElasticSpec
from mlptrain.training.trainer import Trainer

SHAPE = (19, 28)  # height, width: not square, so that no axis can stand for the other
ELASTIC = {"alpha": 36.0, "sigma": 6.0}
MANY = 4000


def images(n: int, shape: tuple[int, int] = SHAPE) -> Tensor:
    return torch.rand((n, *shape), generator=torch.Generator().manual_seed(n))


def drawn(n: int, low: float, high: float, *, seed: int = 0) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=torch.Generator().manual_seed(seed))


def affines(n: int) -> dict[str, Tensor]:
    return {
        "rotate": drawn(n, -180, 180, seed=1),
        "shear": drawn(n, -40, 40, seed=2),
        "scale": drawn(n, 0.6, 1.5, seed=3),
        "shift": torch.stack([drawn(n, -5, 5, seed=4).round(), drawn(n, -5, 5, seed=5).round()], dim=1),
    }


def test_affine_maps_are_torchvisions() -> None:
    x, maps = images(20), affines(20)
    ours = resample(x, inverse_affine(**maps))
    for index, image in enumerate(x):
        theirs = torchvision.affine(
            image[None],
            angle=float(maps["rotate"][index]),
            translate=[int(along) for along in maps["shift"][index]],
            scale=float(maps["scale"][index]),
            shear=[float(maps["shear"][index]), 0.0],
            interpolation=InterpolationMode.BILINEAR,
        )
        torch.testing.assert_close(ours[index], theirs[0], rtol=0, atol=2e-5)


def test_displacements_are_torchvisions_elastic_transform() -> None:
    """Which takes them as shares of half the image."""
    x = images(5)
    field = displacements(2 * torch.rand(5, 2, *SHAPE) - 1, alpha=30, sigma=2)
    ours = resample(x, torch.eye(2, 3).expand(5, 2, 3), field)
    for image, shifts, own in zip(x, field, ours, strict=True):
        as_shares = 2 * shifts.permute(1, 2, 0) / torch.tensor([SHAPE[1], SHAPE[0]])
        theirs = torchvision.elastic_transform(image[None], as_shares[None])
        torch.testing.assert_close(own, theirs[0], rtol=0, atol=2e-5)
    assert float((ours - x).abs().mean()) > 0.05


@pytest.mark.parametrize("sigma", [0.5, 3.0, 6.0])
def test_the_smoothing_is_torchvisions_and_scipys(sigma: float) -> None:
    noise = 2 * torch.rand(3, 2, 28, 28) - 1
    ours = displacements(noise, alpha=10, sigma=sigma)
    size = int(8 * sigma + 1) // 2 * 2 + 1
    torch.testing.assert_close(ours, 10 * torchvision.gaussian_blur(noise, size, sigma), rtol=0, atol=2e-5)
    scipys = ndimage.gaussian_filter(noise.double().numpy(), sigma, mode="mirror", axes=(2, 3))
    np.testing.assert_allclose(ours, 10 * scipys, rtol=0, atol=2e-5)


def test_all_of_it_is_one_resampling_at_the_sum_of_the_places() -> None:
    """scipy at places that are computed here in float64 from the forward maps."""
    n, (height, width) = 12, SHAPE
    x, maps = images(n), affines(n)
    mirror = torch.ones(n, 2)
    mirror[::3, 0], mirror[::4, 1] = -1, -1
    field = displacements(2 * torch.rand(n, 2, *SHAPE) - 1, alpha=30, sigma=3)
    ours = resample(x, inverse_affine(**maps, mirror=mirror), field)
    y, at = np.meshgrid(np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij")
    for index in range(n):
        angle, shear = (math.radians(float(maps[key][index])) for key in ("rotate", "shear"))
        rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        slanted = np.array([[1, -math.tan(shear)], [0, 1]])
        forward = float(maps["scale"][index]) * rotation @ slanted @ np.diag(mirror[index].double().numpy())
        moved = np.stack([at.ravel(), y.ravel()]) - maps["shift"][index].double().numpy()[:, None]
        source = np.linalg.solve(forward, moved).reshape(2, height, width) + field[index].double().numpy()
        places = [source[1] + (height - 1) / 2, source[0] + (width - 1) / 2]
        theirs = ndimage.map_coordinates(x[index].double().numpy(), places, order=1, mode="grid-constant")
        np.testing.assert_allclose(ours[index], theirs, rtol=0, atol=5e-5)


def test_rectangles_are_erased() -> None:
    x = torch.ones(3, *SHAPE)
    erase_(x, torch.tensor([[0, 0, 2, 3], [17, 20, 2, 8], [5, 5, 0, 9]]))
    assert [int((one == 0).sum()) for one in x] == [6, 16, 0]
    assert float(x[0, :2, :3].sum()) == float(x[1, 17:, 20:].sum()) == 0


def facts(shape: tuple[int, int] | None = SHAPE, *, maximum: int | None = 255) -> DataFacts:
    n = math.prod(shape or (5,))
    names = tuple("abcd")
    return DataFacts(
        train_rows=1,
        validation_rows=0,
        test_rows=0,
        n_features=n,
        class_names=names,
        image_shape=shape,
        maximum=maximum,
    )


def augmented(x: Tensor, *, of: DataFacts | None = None, epoch: int = 1, **section: Any) -> Tensor:
    """One batch of images (n, height, width) as the section has them, unscaled."""
    augmentation = Augmentation.of(AugmentationSpec.model_validate(section), of or facts())
    assert augmentation is not None
    out = torch.empty(len(x), x[0].numel())
    augmentation.epoch(7, epoch).write(x.reshape(out.shape).clone(), Preprocessing.NONE, out=out)
    return out.view(x.shape)


def test_a_shift_is_by_whole_pixels_all_equally_likely() -> None:
    x = torch.zeros(MANY, *SHAPE)
    x[:, 9, 14] = 200.0
    places = augmented(x, shift=2).flatten(1)
    assert float((places.amax(dim=1) - 200).abs().max()) < 0.01
    rows, columns = places.argmax(dim=1) // SHAPE[1] - 9, places.argmax(dim=1) % SHAPE[1] - 14
    for moved in (rows, columns):
        assert torch.unique(moved).tolist() == [-2, -1, 0, 1, 2]
        assert float((moved + 2).bincount().float().std()) < 4 * math.sqrt(MANY / 5)
    assert abs(float(np.corrcoef(rows, columns)[0, 1])) < 0.06


@pytest.mark.parametrize(("flip", "axis"), [("horizontal", 2), ("vertical", 1)])
def test_half_of_the_images_are_flipped(flip: str, axis: int) -> None:
    x = 255 * images(MANY)
    out, mirrored = augmented(x, flip=flip), x.flip(axis)
    is_mirrored = (out - mirrored).abs().amax(dim=(1, 2)) < 0.01
    torch.testing.assert_close(out, torch.where(is_mirrored[:, None, None], mirrored, x), rtol=0, atol=0.01)
    assert abs(int(is_mirrored.sum()) - MANY / 2) < 4 * math.sqrt(MANY / 4)


def angles(x: Tensor) -> Tensor:
    """Direction in degrees from the centre, clockwise from upwards, in which the ink lies."""
    y, at = torch.meshgrid(torch.arange(29) - 14.0, torch.arange(29) - 14.0, indexing="ij")
    return torch.rad2deg(torch.atan2((x * at).sum(dim=(1, 2)), -(x * y).sum(dim=(1, 2))))


def test_the_largest_angle_factor_and_slant_are_those_that_are_named() -> None:
    square = facts((29, 29))
    needle = torch.zeros(MANY, 29, 29)
    needle[:, 4:8, 14] = 255.0
    turned = angles(augmented(needle, of=square, rotate=15))
    assert 14.5 < float(turned.max()) < 15.1
    assert -15.1 < float(turned.min()) < -14.5
    assert abs(float(turned.mean())) < 0.6
    assert float(turned.std()) == pytest.approx(15 / math.sqrt(3), rel=0.05)
    slanted = angles(augmented(needle, of=square, shear=20))
    assert float(slanted.abs().max()) == pytest.approx(20, abs=0.7)
    block = torch.zeros(MANY, 29, 29)
    block[:, 9:20, 9:20] = 255.0
    area = augmented(block, of=square, scale=0.2).sum(dim=(1, 2)) / block[0].sum()
    assert float(area.max()) == pytest.approx(1.44, abs=0.04)
    assert float(area.min()) == pytest.approx(0.64, abs=0.04)


@pytest.mark.parametrize(("alpha", "sigma"), [(36.0, 6.0), (34.0, 4.0), (8.0, 1.0)])
def test_displacements_are_as_large_as_the_section_says(alpha: float, sigma: float) -> None:
    """Measured on ramps, which a displacement raises or lowers by as much."""
    side = 81
    ramps = torch.stack(
        [torch.arange(side).float().expand(side, side), torch.arange(side).float()[:, None].expand(side, side)]
    )
    out = augmented(ramps.repeat(60, 1, 1), of=facts((side, side)), elastic={"alpha": alpha, "sigma": sigma})
    moved = (out.view(60, 2, side, side) - ramps)[:, :, 30:51, 30:51]
    expected = ElasticSpec(alpha=alpha, sigma=sigma).displacement
    assert expected == pytest.approx(alpha / sigma / (2 * math.sqrt(3 * math.pi)))
    assert float(moved.std()) == pytest.approx(expected, rel=0.06)
    assert abs(float(moved.mean())) < 0.1 * expected


def test_noise_is_in_units_of_the_largest_pixel_and_of_the_scaled_inputs() -> None:
    x = torch.full((500, *SHAPE), 100.0)
    added = augmented(x, noise=0.1) - x
    assert float(added.std()) == pytest.approx(25.5, rel=0.01)
    assert abs(float(added.mean())) < 0.3
    rows = torch.zeros(MANY, 5)
    augmentation = Augmentation(AugmentationSpec(noise=0.1), facts(None, maximum=None))
    augmentation.epoch(0, 1).write(rows, Preprocessing(transforms=(Scale(divisor=100.0),)), out=rows)
    assert float(rows.std()) == pytest.approx(0.1, rel=0.03)


def test_as_many_rectangles_are_erased_as_the_probability_says() -> None:
    x = torch.ones(MANY, 28, 28)
    out = augmented(x, of=facts((28, 28)), erase=0.3)
    hit = (out == 0).flatten(1).any(dim=1)
    assert abs(int(hit.sum()) - 0.3 * MANY) < 4 * math.sqrt(0.21 * MANY)
    gone = out[hit] == 0
    tall, wide = gone.any(dim=2).sum(dim=1), gone.any(dim=1).sum(dim=1)
    assert torch.equal(tall * wide, gone.sum(dim=(1, 2)))  # whole rectangles
    share = tall * wide / 784
    assert 0.01 < float(share.min()) < 0.03
    assert 0.31 < float(share.max()) < 0.36
    assert float(share.mean()) == pytest.approx(0.175, abs=0.01)
    assert abs(float((tall / wide).log().mean())) < 0.05
    covered = gone.float().mean(dim=0)
    torch.testing.assert_close(covered, covered.flip(0), rtol=0, atol=0.06)
    torch.testing.assert_close(covered, covered.flip(1), rtol=0, atol=0.06)


EVERYTHING = {
    "shift": 1,
    "rotate": 15.0,
    "scale": 0.1,
    "shear": 10.0,
    "elastic": {"alpha": 4.0, "sigma": 2.0},
    "flip": "horizontal",
    "noise": 0.1,
    "erase": 0.3,
    "mixup": 0.4,
}
X = (255 * images(25)).to(torch.uint8).flatten(1)
Y = torch.arange(25) % 4
SCALED = Preprocessing(transforms=(Scale(divisor=255.0, mean=0.13, std=0.3),))


def batches(
    section: dict[str, Any],
    *,
    seeds: Sequence[int] = (7,),
    models: Sequence[int] = (1,),
    size: int = 4,
    shuffle: bool = True,
) -> Batches:
    rows = [Examples(X, Y, None, SCALED) for _ in seeds]
    augmentation = Augmentation.of(AugmentationSpec.model_validate(section), facts())
    return Batches(rows, seeds=seeds, models=models, batch_size=size, shuffle=shuffle, augmentation=augmentation)


def read(made: Batches, *, epoch: int = 1, steps: int = 2) -> tuple[list[Tensor], Tensor]:
    """Inputs of every group (n, features), and targets (models, t, n), of a whole epoch."""
    inputs, targets = [], []
    for of_block, of_steps in made.blocks(epoch, steps=steps):
        targets.append(of_block)
        inputs += [[x.clone() for x in groups] for groups in of_steps]
    return [torch.cat(parts) for parts in zip(*inputs, strict=True)], torch.cat(targets, dim=2)


def test_what_is_drawn_follows_from_seed_and_epoch_alone() -> None:
    [x], targets = read(batches(EVERYTHING))
    torch.manual_seed(5)
    again = batches(EVERYTHING)
    read(again, epoch=3)
    for steps in (1, 3, 99):
        [same], same_targets = read(again, steps=steps)
        assert torch.equal(x, same)
        assert torch.equal(targets, same_targets)
    [other], _ = read(again, epoch=2)
    assert not torch.equal(x, other)
    [three, seven], of_models = read(batches(EVERYTHING, seeds=[3, 7], models=[2, 1]))
    assert torch.equal(seven, x)
    assert torch.equal(of_models[2], targets[0])
    assert torch.equal(of_models[0], of_models[1])
    assert not torch.equal(of_models[0], of_models[2])
    assert not torch.equal(three, seven)


def test_no_ingredient_changes_what_another_draws() -> None:
    x = 200 + images(70)
    moved: dict[str, Any] = {"shift": 1, "rotate": 15.0, "elastic": {"alpha": 4.0, "sigma": 2.0}}
    noise = augmented(x, noise=0.1) - x
    torch.testing.assert_close(augmented(x, **moved, noise=0.1) - augmented(x, **moved), noise, rtol=0, atol=1e-3)
    erased = augmented(x, erase=0.3) == 0
    assert erased.any()
    assert torch.equal(augmented(x, **moved, noise=0.1, erase=0.3) == 0, erased | (augmented(x, **moved) == 0) & erased)
    needle = torch.zeros(70, *SHAPE)
    needle[:, 9, 14] = 200.0
    alone, flipped = (augmented(needle, shift=2, flip=flip) for flip in ("none", "horizontal"))
    assert torch.equal(alone.amax(dim=2).argmax(dim=1), flipped.amax(dim=2).argmax(dim=1))


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("size", [4, 25])
def test_examples_are_mixed_with_others_of_their_batch(size: int, shuffle: bool) -> None:
    rows = Examples(torch.eye(25), Y)  # so that a mixed row shows what it consists of
    augmentation = Augmentation(AugmentationSpec(mixup=0.4), facts((5, 5)))
    made = Batches([rows], seeds=[7], models=[1], batch_size=size, shuffle=shuffle, augmentation=augmentation)
    [x], targets = read(made)
    assert targets.shape == (1, 4, 25)
    torch.testing.assert_close(targets[0].t(), x @ torch.nn.functional.one_hot(Y, 4).float())
    order = epoch_order(25, seed=7, epoch=1, shuffle=shuffle)
    own = x[torch.arange(25), order]
    assert 0.5 <= float(own.min()) < 1
    for at in torch.split(torch.arange(25), size):
        batch = x[at][:, order[at]]  # nothing comes from other batches, and every example is a partner once
        torch.testing.assert_close(batch.sum(dim=0), torch.ones(len(at)))
        torch.testing.assert_close(batch.sum(dim=1), torch.ones(len(at)))
        assert len(torch.unique(own[at][own[at] < 1])) <= 1  # one share for all of them
    assert len(torch.unique(own)) > (2 if size == 4 else 1)
    assert torch.equal(targets[0].argmax(dim=0), Y[order])


def test_shares_are_from_the_beta_distribution() -> None:
    made = batches({"mixup": 0.4}, size=2)
    shares = []
    for epoch in range(60):
        _, targets = read(made, epoch=epoch)
        largest = targets[0].amax(dim=0)
        shares += [float(part.min()) for part in torch.split(largest, 2) if float(part.min()) < 1]
    assert len(set(shares)) > 0.9 * len(shares)  # others in every epoch
    draws = np.random.default_rng(0).beta(0.4, 0.4, 100_000)
    folded = np.maximum(draws, 1 - draws)
    assert np.mean(shares) == pytest.approx(folded.mean(), abs=4 * folded.std() / math.sqrt(len(shares)))
    assert np.std(shares) == pytest.approx(folded.std(), rel=0.15)


def test_background_stays_background_where_inputs_are_standardised() -> None:
    ink = torch.zeros(8, *SHAPE, dtype=torch.uint8)
    ink[:, 8:11, 12:16] = 255
    out = torch.empty(8, ink[0].numel())
    section = {key: EVERYTHING[key] for key in ("shift", "rotate", "scale", "shear", "elastic")}
    augmentation = Augmentation(AugmentationSpec.model_validate(section), facts())
    augmentation.epoch(0, 1).write(ink.flatten(1), SCALED, out=out)
    background = (0 - 0.13) / 0.3
    corners = out.view(8, *SHAPE)[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    torch.testing.assert_close(corners, torch.full((8, 4), background))
    assert float(out.max()) > 1


@pytest.mark.parametrize("shuffle", [True, False])
def test_rows_and_cached_inputs_stay_as_they_are(shuffle: bool) -> None:
    """Float rows too, which are gathered into the very buffer that is changed."""
    for stored in (X, X.float()):
        rows = Examples(stored, Y, None, SCALED)
        before = rows.inputs.clone(), stored.clone()
        augmentation = Augmentation(AugmentationSpec.model_validate(EVERYTHING), facts())
        made = Batches([rows], seeds=[7], models=[1], batch_size=25, shuffle=shuffle, augmentation=augmentation)
        [x], _ = read(made)
        assert torch.equal(rows.inputs, before[0])
        assert torch.equal(rows.x, before[1])
        assert float((x - before[0]).abs().mean()) > 0.1


BASE = """\
data: {name: digits, validation: 100}
model: {hidden: [16]}
optimizer: {name: adam, lr: 0.01}
training: {epochs: 4, batch_size: 100, record_steps: true, device: cpu, precision: highest}
augmentation: {shift: 1, rotate: 15, scale: 0.1, shear: 10, elastic: {alpha: 4, sigma: 2}, noise: 0.1, erase: 0.2}
"""
COMPARED = ("metrics.jsonl", "steps.npz", "checkpoints/last.safetensors", "checkpoints/best.safetensors")


def test_a_run_repeats_and_resumes_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, overrides in (("whole", []), ("part", ["training.epochs=2"]), ("plain", ["augmentation={}"])):
        train(load_text(BASE, overrides=overrides), run_dir=Path(folder))
    Path("part/result.json").unlink()
    resume(Path("part"), epochs=4)
    for file in COMPARED:
        assert Path("whole", file).read_bytes() == Path("part", file).read_bytes(), file
    losses = [
        [json.loads(line)["train_loss"] for line in Path(run, "metrics.jsonl").read_text().splitlines()[1:]]
        for run in ("whole", "plain")
    ]
    assert losses[0][-1] > 1.2 * losses[1][-1]  # harder to fit


def test_each_seed_is_augmented_as_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    group = train_seeds(load_text(BASE), [3, 0], run_dir=Path("group"))
    for outcome, seed in zip(group.outcomes, (3, 0), strict=True):
        alone = train(load_text(BASE, overrides=[f"seed={seed}"]), run_dir=Path(f"alone{seed}"))
        ours, theirs = (np.load(one.folder.path / "steps.npz") for one in (outcome, alone))
        for name in theirs.files:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("batching", ["{shuffle: false, batch_size: 100}", "{batch_size: full}"])
def test_evaluation_sees_the_rows_themselves(batching: str) -> None:
    text = BASE.replace("validation: 100", "validation: 0").replace("scale: 0.1", "scale: 0.5")
    experiment = load_text(text, overrides=[f"training={batching}", "evaluation.split=test"]).experiment
    splits = load_data(experiment)
    train_inputs, test_inputs = splits.train.inputs.clone(), splits.test.inputs.clone() if splits.test else None
    trainer = build_trainer([experiment], [splits])
    [[before], [_], [after]] = list(trainer.epochs(first=0, last=2, should_stop=lambda: False))
    assert before is not None
    assert after is not None
    model = trainer.models[0]
    assert model.evaluated is not None
    assert torch.equal(model.evaluated.inputs, test_inputs if test_inputs is not None else Tensor())
    assert torch.equal(model.examples.inputs, train_inputs)
    assert before.evaluated != after.evaluated


@pytest.mark.parametrize("engine", ENGINES)
def test_the_first_step_on_mixed_examples_is_torchs(engine: type[Engine]) -> None:
    """Its loss, its accuracy against the labels of the larger shares, and the weights after it."""
    experiment = load_text(
        BASE, overrides=["augmentation={mixup: 1.0}", "optimizer={name: sgd, lr: 0.5}", "training.batch_size=1337"]
    ).experiment
    data = load_data(experiment)
    made = build_trainer([experiment], [data])
    trainer = Trainer(
        made.network,
        models=made.models,
        loss=made.loss,
        classify=True,
        batch_size=1337,
        shuffle=True,
        augmentation=Augmentation(experiment.augmentation, experiment.facts),
        engine=engine,
    )
    targets, inputs = next(trainer.batches.blocks(1, steps=1))
    [x], shares = [one.clone() for one in next(inputs)], targets[0].t().clone()
    weights = [tensor.clone().requires_grad_() for tensor in trainer.model().parameters.values()]
    outputs = linear(linear(x, weights[0], weights[1]).relu(), weights[2], weights[3])
    loss = cross_entropy(outputs, shares)
    gradients = torch.autograd.grad(loss, weights)
    [epoch] = next(trainer.epochs(first=1, last=1, should_stop=lambda: False))
    assert epoch is not None
    assert epoch.train is not None
    assert epoch.train.loss == pytest.approx(float(loss.detach()), rel=1e-5)
    own = data.train.targets[epoch_order(1337, seed=0, epoch=1, shuffle=False)]
    assert ((shares > 0) & (shares < 1)).any()
    assert epoch.train.accuracy == pytest.approx(float((outputs.argmax(dim=1) == own).double().mean()))
    for before, gradient, after in zip(weights, gradients, trainer.model().parameters.values(), strict=True):
        torch.testing.assert_close(after, before.detach() - 0.5 * gradient, rtol=1e-4, atol=1e-6)


def test_two_classes_are_mixed_for_bce() -> None:
    text = BASE.replace("name: digits", "name: digits, classes: [3, 8]") + "loss: bce\n"
    experiment = load_text(text, overrides=["augmentation={mixup: 1.0}"]).experiment
    trainer = build_trainer([experiment], [load_data(experiment)])
    targets, _ = next(trainer.batches.blocks(1, steps=1))
    assert ((targets > 0) & (targets < 1)).any()
    *_, [last] = trainer.epochs(first=1, last=20, should_stop=lambda: False)
    assert last is not None
    assert last.evaluated is not None
    assert last.evaluated.accuracy is not None
    assert last.evaluated.accuracy > 0.9


def test_a_section_that_asks_for_nothing_costs_nothing() -> None:
    assert Augmentation.of(AugmentationSpec(), facts()) is None
    assert Augmentation.of(AugmentationSpec(flip="none", mixup=0.0), facts()) is None
