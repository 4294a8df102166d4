"""Where parameters lie: views of one tensor for one model, of two for each of several."""

from __future__ import annotations

import pytest
import torch

from mlptrain.nn.parameters import Parameters, Stack

SHAPES: dict[str, tuple[int, ...]] = {"layers.0.weight": (3, 5), "layers.0.bias": (3,), "layers.0.slope": ()}
TWO_LAYERS: dict[str, tuple[int, ...]] = {"layers.0.weight": (4, 8), "layers.0.bias": (4,), "layers.1.weight": (2, 4)}


def filled(stack: Stack) -> Stack:
    """The n-th model's parameters hold n, 10·n, 100·n …, in order."""
    for number, member in enumerate(stack.members, 1):
        for place, view in enumerate(member.values()):
            view.fill_(number * 10**place)
    return stack


def test_views_share_the_flat_tensor_and_start_on_cache_lines() -> None:
    parameters = Parameters.zeros(SHAPES)
    assert list(parameters) == list(SHAPES)
    assert parameters.shapes == SHAPES
    for number, view in enumerate(parameters.values(), 1):
        view.fill_(number)
        assert view.data_ptr() % 64 == 0
    assert parameters.flat.tolist() == [1.0] * 15 + [0.0] + [2.0] * 3 + [0.0] * 13 + [3.0] + [0.0] * 15


def test_one_update_of_the_flat_tensor_is_an_update_of_every_view() -> None:
    parameters, gradients = Parameters.zeros(SHAPES), Parameters.zeros(SHAPES)
    gradients["layers.0.bias"].fill_(2.0)
    parameters.flat.sub_(gradients.flat, alpha=0.5)
    assert parameters["layers.0.bias"].tolist() == [-1.0] * 3
    assert not parameters["layers.0.weight"].any()


def test_clone_and_copy() -> None:
    source = Parameters.zeros(SHAPES)
    source.flat.normal_(generator=torch.Generator().manual_seed(0))
    clone = source.clone()
    doubles = source.clone(dtype=torch.float64)
    target = Parameters.zeros(SHAPES, dtype=torch.float64).copy_(dict(source))
    source.flat.zero_()
    assert clone["layers.0.weight"].any()
    assert torch.equal(clone.flat.double(), doubles.flat)
    assert torch.equal(target.flat, doubles.flat)


def test_copy_refuses_another_network() -> None:
    parameters = Parameters.zeros(SHAPES)
    with pytest.raises(ValueError, match="other names or shapes"):
        parameters.copy_({**parameters, "layers.0.weight": torch.ones(5, 3)})
    assert not parameters.flat.any()


@pytest.mark.parametrize("shapes", [SHAPES, TWO_LAYERS])
@pytest.mark.parametrize("models", [1, 3])
def test_no_two_parameters_of_a_stack_overlap_and_its_pieces_hold_them_all(
    models: int, shapes: dict[str, tuple[int, ...]]
) -> None:
    stack = Stack(shapes, models=models)
    for member in stack.members:
        assert member.shapes == shapes
        for view in member.values():
            assert not view.any()
            view += 1
            assert view.data_ptr() % 64 == 0
    used = sum(view.numel() for member in stack.members for view in member.values())
    assert int(stack.flat.sum()) == int(stack.flat.count_nonzero()) == used
    for piece in stack.pieces(0, models):
        assert piece.is_contiguous()
        piece += 1
    assert stack.flat.min() == 1
    assert int(stack.flat.sum()) == used + len(stack.flat)


def test_the_first_weights_of_all_models_lie_side_by_side() -> None:
    stack = filled(Stack(TWO_LAYERS, models=3))
    assert stack.flat[: 3 * 32].view(12, 8)[:, 0].tolist() == [1.0] * 4 + [2.0] * 4 + [3.0] * 4


def test_the_pieces_of_some_models_hold_just_these() -> None:
    stack = filled(Stack(SHAPES, models=4))
    for piece in stack.pieces(1, 3):
        piece.zero_()
    left = [[int(view.flatten()[0]) if view.any() else 0 for view in member.values()] for member in stack.members]
    assert left == [[1, 10, 100], [0, 0, 0], [0, 0, 0], [4, 40, 400]]
    assert [len(piece) % 2 for piece in stack.pieces(1, 3)] == [0, 0]


@pytest.mark.parametrize("shapes", [SHAPES, TWO_LAYERS])
@pytest.mark.parametrize("models", [1, 3])
def test_stacked_is_a_view_of_a_parameter_of_all_models(models: int, shapes: dict[str, tuple[int, ...]]) -> None:
    stack = filled(Stack(shapes, models=models))
    for name, shape in shapes.items():
        stacked = stack.stacked(name)
        assert stacked.shape == (models, *shape)
        assert torch.equal(stacked, torch.stack([member[name] for member in stack.members]))
        stacked[-1] = 7
        assert (stack.members[-1][name] == 7).all()
    with pytest.raises(KeyError, match=r"layers\.9\.weight"):
        stack.stacked("layers.9.weight")


def test_a_model_without_anything_behind_its_first_weights_is_one_piece() -> None:
    stack = filled(Stack({"layers.0.weight": (3, 5)}, models=2))
    assert len(stack.pieces(0, 2)) == 1
    assert [int(member["layers.0.weight"].sum()) for member in stack.members] == [15, 30]


def test_a_stack_of_one_uses_the_memory_it_is_given() -> None:
    parameters = Parameters.zeros(SHAPES)
    stack = Stack.of(parameters)
    stack.members[0]["layers.0.bias"].fill_(3.0)
    stack.stacked("layers.0.weight").fill_(5.0)
    assert parameters["layers.0.bias"].tolist() == [3.0] * 3
    assert (parameters["layers.0.weight"] == 5).all()


def test_one_of_several_becomes_whole_by_cloning() -> None:
    member = filled(Stack(SHAPES, models=2)).members[1]
    with pytest.raises(ValueError, match=r"one of several models do not lie in one piece; clone\(\)"):
        _ = member.flat
    alone = Parameters.zeros(SHAPES).copy_(dict(member))
    clone = member.clone()
    assert torch.equal(clone.flat, alone.flat)
    member["layers.0.bias"].zero_()
    assert clone["layers.0.bias"].all()
