"""Which rows each step reads, against plain indexing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mlptrain.data import Examples, Preprocessing, Scale
from mlptrain.data.batches import Batches, epoch_order

X = torch.arange(50.0).view(25, 2)
Y = torch.arange(25) * 10
SOME = torch.tensor([1, 2, 3, 5, 8, 13, 21, 4, 18, 11, 24])
OTHERS = torch.tensor([0, 2, 4, 6, 9, 10, 12, 14, 16, 20, 22])


def gathered(batches: Batches, *, epoch: int = 1, steps: int = 2) -> list[tuple[list[Tensor], Tensor]]:
    """Inputs of every group, copied since the next step overwrites them, and targets, step by step."""
    return [
        ([x.clone() for x in inputs], own)
        for targets, of_steps in batches.blocks(epoch, steps=steps)
        for inputs, own in zip(of_steps, torch.split(targets, batches.batch_size, dim=2), strict=True)
    ]


@pytest.mark.parametrize("steps", [1, 2, 3, 99])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_group_reads_its_rows_in_its_order(shuffle: bool, steps: int) -> None:
    rows = [Examples(X, Y, SOME), Examples(X, Y, OTHERS), Examples(X, Y, SOME)]
    batches = Batches(rows, seeds=[0, 1, 2], models=[2, 1, 3], batch_size=4, shuffle=shuffle)
    for epoch in (1, 2):
        found = gathered(batches, epoch=epoch, steps=steps)
        assert [len(inputs[0]) for inputs, _ in found] == [4, 4, 3]
        for group, (one, models) in enumerate(zip(rows, ([0, 1], [2], [3, 4, 5]), strict=True)):
            assert one.index is not None
            places = one.index[epoch_order(11, seed=group, epoch=epoch, shuffle=shuffle)]
            assert sorted(places.tolist()) == sorted(one.index.tolist())
            assert torch.equal(torch.cat([inputs[group] for inputs, _ in found]), X[places])
            for model in models:
                assert torch.equal(torch.cat([targets[model, 0] for _, targets in found]), Y[places])


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("models", [1, 3])
def test_one_group_of_all_rows_with_targets_of_several_columns(models: int, shuffle: bool) -> None:
    values = torch.stack([Y, -Y, Y + 1], dim=1).float()
    found = gathered(Batches([Examples(X, values)], seeds=[7], models=[models], batch_size=10, shuffle=shuffle))
    places = epoch_order(25, seed=7, epoch=1, shuffle=shuffle)
    assert torch.equal(torch.cat([inputs[0] for inputs, _ in found]), X[places])
    targets = torch.cat([targets for _, targets in found], dim=2)
    assert targets.shape == (models, 3, 25)
    for one in targets:
        assert torch.equal(one.t(), values[places])


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    one = epoch_order(25, seed=0, epoch=3)
    torch.manual_seed(5)
    assert torch.equal(one, epoch_order(25, seed=0, epoch=3))
    assert not torch.equal(one, epoch_order(25, seed=0, epoch=4))
    assert not torch.equal(one, epoch_order(25, seed=1, epoch=3))
    assert sorted(one.tolist()) == list(range(25))
    assert torch.equal(epoch_order(25, seed=0, epoch=3, shuffle=False), torch.arange(25))


def test_rows_in_stored_order() -> None:
    whole, part = Examples(X, Y), Examples(X, Y, SOME)
    assert (len(whole), len(part)) == (25, 11)
    for rows, x, y in ((whole, X, Y), (part, X[SOME], Y[SOME])):
        assert torch.equal(rows.inputs, x)
        assert torch.equal(rows.targets, y)
        assert torch.equal(rows.head(99).inputs, x)
        assert torch.equal(rows.head(4).inputs, x[:4])
        assert torch.equal(rows.head(4).targets, y[:4])


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("scaling", [Scale(divisor=255.0), Scale(divisor=255.0, mean=0.1307, std=0.3081)])
def test_stored_pixels_are_scaled_batch_by_batch_to_the_bits_of_the_whole(scaling: Scale, shuffle: bool) -> None:
    pixels = torch.arange(25 * 11, dtype=torch.int32).remainder(256).to(torch.uint8).view(25, 11)
    rows = Examples(pixels, Y, SOME, Preprocessing(transforms=(scaling,)))
    found = gathered(Batches([rows], seeds=[0], models=[1], batch_size=4, shuffle=shuffle))
    expected = (pixels.float() / 255 - scaling.mean) / scaling.std
    assert torch.equal(
        torch.cat([inputs[0] for inputs, _ in found]), expected[SOME][epoch_order(11, seed=0, epoch=1, shuffle=shuffle)]
    )
    assert torch.equal(rows.head(7).inputs, expected[SOME][:7])


def test_every_epoch_gathers_into_the_same_memory() -> None:
    batches = Batches([Examples(X, Y)], seeds=[0], models=[1], batch_size=4, shuffle=True)
    places = [
        {inputs[0].data_ptr() for _, of_steps in batches.blocks(epoch, steps=2) for inputs in of_steps}
        for epoch in (1, 2)
    ]
    assert places[0] == places[1]


@pytest.mark.parametrize("groups", [1, 2])
def test_batches_of_which_several_are_gathered_at_once(groups: int) -> None:
    """Seven steps a block, gathered in fours or in twos, and at the end a single row."""
    width, size, n = 2**15, 2, 29
    rows = [Examples(torch.arange(float(n)).unsqueeze(1).expand(n, width), torch.arange(n)) for _ in range(groups)]
    batches = Batches(rows, seeds=list(range(groups)), models=[1] * groups, batch_size=size, shuffle=True)
    for epoch in (1, 2):
        found = gathered(batches, epoch=epoch, steps=7)
        assert [len(inputs[0]) for inputs, _ in found] == [size] * 14 + [1]
        for group in range(groups):
            order = epoch_order(n, seed=group, epoch=epoch)
            x, y = (torch.cat(parts) for parts in zip(*((x[group], y[group, 0]) for x, y in found), strict=True))
            assert torch.equal(x, order.float().unsqueeze(1).expand(n, width))
            assert torch.equal(y, order)
