"""Which rows each step reads, against plain indexing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mlptrain.data import Scaling
from mlptrain.data.batches import Batches, TrainingRows

X = torch.arange(50.0).view(25, 2)
Y = torch.arange(25) * 10
SOME = torch.tensor([1, 2, 3, 5, 8, 13, 21, 4, 18, 11, 24])
OTHERS = torch.tensor([0, 2, 4, 6, 9, 10, 12, 14, 16, 20, 22])


def gathered(batches: Batches, *, epoch: int = 1, steps: int = 2) -> list[tuple[list[Tensor], Tensor]]:
    """Inputs of every group, copied since the next step overwrites them, and targets, step by step."""
    return [
        ([x.clone() for x in inputs], targets)
        for block in batches.blocks(epoch, steps=steps)
        for inputs, targets in block.steps()
    ]


@pytest.mark.parametrize("steps", [1, 2, 3, 99])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_group_reads_its_rows_in_its_order(shuffle: bool, steps: int) -> None:
    rows = [TrainingRows(0, X, Y, SOME), TrainingRows(1, X, Y, OTHERS), TrainingRows(2, X, Y, SOME)]
    batches = Batches(rows, models=[2, 1, 3], batch_size=4, shuffle=shuffle)
    for epoch in (1, 2):
        found = gathered(batches, epoch=epoch, steps=steps)
        assert [len(inputs[0]) for inputs, _ in found] == [4, 4, 3]
        for group, (one, models) in enumerate(zip(rows, ([0, 1], [2], [3, 4, 5]), strict=True)):
            assert one.chosen is not None
            places = one.chosen[one.order(epoch, shuffle=shuffle)]
            assert sorted(places.tolist()) == sorted(one.chosen.tolist())
            assert torch.equal(torch.cat([inputs[group] for inputs, _ in found]), X[places])
            for model in models:
                assert torch.equal(torch.cat([targets[model, 0] for _, targets in found]), Y[places])


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("models", [1, 3])
def test_one_group_of_all_rows_with_targets_of_several_columns(models: int, shuffle: bool) -> None:
    values = torch.stack([Y, -Y, Y + 1], dim=1).float()
    rows = TrainingRows(7, X, values)
    found = gathered(Batches([rows], models=[models], batch_size=10, shuffle=shuffle))
    places = rows.order(1, shuffle=shuffle)
    assert torch.equal(torch.cat([inputs[0] for inputs, _ in found]), X[places])
    targets = torch.cat([targets for _, targets in found], dim=2)
    assert targets.shape == (models, 3, 25)
    for one in targets:
        assert torch.equal(one.t(), values[places])


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    one, same, other = TrainingRows(0, X, Y), TrainingRows(0, X * 2, Y, None), TrainingRows(1, X, Y)
    assert torch.equal(one.order(3), same.order(3))
    assert not torch.equal(one.order(3), one.order(4))
    assert not torch.equal(one.order(3), other.order(3))
    assert sorted(one.order(3).tolist()) == list(range(25))
    assert torch.equal(one.order(3, shuffle=False), torch.arange(25))


def test_rows_in_stored_order() -> None:
    whole, part = TrainingRows(0, X, Y), TrainingRows(0, X, Y, SOME)
    assert (len(whole), len(part)) == (25, 11)
    for rows, x, y in ((whole, X, Y), (part, X[SOME], Y[SOME])):
        assert torch.equal(rows.in_order[0], x)
        assert torch.equal(rows.in_order[1], y)
        assert torch.equal(rows.first(4)[0], x[:4])
        assert torch.equal(rows.first(4)[1], y[:4])
        assert torch.equal(rows.first(99)[0], x)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("scaling", [Scaling(255.0, 0.0, 1.0), Scaling(255.0, 0.1307, 0.3081)])
def test_stored_pixels_are_scaled_batch_by_batch_to_the_bits_of_the_whole(scaling: Scaling, shuffle: bool) -> None:
    pixels = torch.arange(25 * 11, dtype=torch.int32).remainder(256).to(torch.uint8).view(25, 11)
    rows = TrainingRows(0, pixels, Y, SOME, scaling)
    found = gathered(Batches([rows], models=[1], batch_size=4, shuffle=shuffle))
    expected = (pixels.float() / 255 - scaling.mean) / scaling.std
    assert torch.equal(torch.cat([inputs[0] for inputs, _ in found]), expected[SOME][rows.order(1, shuffle=shuffle)])
    assert torch.equal(rows.first(7)[0], expected[SOME][:7])


def test_full_batches_are_gathered_into_the_same_memory() -> None:
    rows = TrainingRows(0, X, Y)
    places = {
        inputs[0].data_ptr()
        for block in Batches([rows], models=[1], batch_size=4, shuffle=True).blocks(1, steps=2)
        for inputs, _ in block.steps()
    }
    assert len(places) == 1
