"""Terms of disturbed inputs against the formulas of their papers, in torch's modules and scalars."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mlptrain.nn.divergence import Divergence
from mlptrain.nn.engines import engine_for
from mlptrain.nn.engines.adversarial import Adversarial, unit
from mlptrain.nn.engines.autograd import Autograd
from mlptrain.nn.gradcheck import GradientCheck, check_gradients
from mlptrain.nn.losses import columns
from mlptrain.nn.noise import Noise, TrainingMode
from mlptrain.seeds import derived_seed
from mlptrain.spec.adversarial import AdversarialSpec
from tests import catalogue
from tests.catalogue import ADVERSARIAL, LOSSES, Settings, adversarial_section, cases
from tests.nn import test_norms
from tests.nn.problems import Problem, problem
from tests.nn.test_backward import Products


def fits(name: str, loss: str) -> bool:
    needs = adversarial_section(name, {}).needs
    return needs is None or catalogue.loss(loss).section.reads == needs


FITTING = [(*case, loss) for case in cases(ADVERSARIAL) for loss in LOSSES if fits(case[0], loss)]


def disturbed(section: AdversarialSpec, **settings: object) -> Problem:
    """A problem whose engine has this term; the engine is in its first step of epoch 0."""
    return problem([5, 4], engine=engine_for(problem([]).network, section), n=9, **settings)  # type: ignore[arg-type]


def engine_of(given: Problem) -> Adversarial:
    assert isinstance(given.engine, Adversarial)
    return given.engine


def directions(given: Problem, seed: int = 0, epoch: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(derived_seed(seed, "adversarial", epoch))
    return torch.randn(given.x[0].shape, generator=generator).double()


def assert_step_is_as_in_the_paper(
    engine: Adversarial,
    given: Problem,
    model: int,
    module: Callable[[Tensor], Tensor],
    leaves: Sequence[Tensor],
    d: Tensor,
) -> None:
    """r by its formula, to the rounding that finite differences amplify, and the gradient for this r to 1e-12."""
    section, x = engine.section, given.x[given.owners[model]]
    row, settings = ADVERSARIAL[section.name], section.model_dump(exclude={"name", "weight"})

    def loss(found: Tensor) -> Tensor:
        return given.objective(model, found)

    r = engine.disturbed[model] - x
    labels = given.loss.section.name == "multi_label_bce"
    expected_r = row.disturbance(module, loss, x, d, labels=labels, **settings)
    torch.testing.assert_close(r, expected_r, rtol=1e-9, atol=1e-9)
    outputs = module(x)
    term = row.term(loss, outputs, module(x + r), labels=labels)
    total = term.sum() if given.loss.section.reduction == "sum" else term.mean()
    expected = torch.autograd.grad(loss(outputs) + section.weight * total, list(leaves))
    for (name, ours), theirs in zip(given.gradients.members[model].items(), expected, strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < 1e-12, name


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("groups", [(1,), (2, 1)])
@pytest.mark.parametrize(("name", "settings", "loss"), FITTING)
def test_a_step_is_as_in_the_paper(
    name: str, settings: Settings, loss: str, groups: tuple[int, ...], reduction: str
) -> None:
    given = disturbed(adversarial_section(name, settings), groups=groups, loss=loss, reduction=reduction)
    outputs = given.step()
    for model, module in enumerate(given.modules()):
        x = given.x[given.owners[model]]
        torch.testing.assert_close(outputs[model].t(), module(x).detach(), rtol=1e-12, atol=1e-12)
        assert_step_is_as_in_the_paper(
            engine_of(given), given, model, module, list(module.parameters()), directions(given)
        )


@pytest.mark.parametrize(("name", "settings"), cases(ADVERSARIAL))
def test_the_disturbance_has_its_length(name: str, settings: Settings) -> None:
    section = adversarial_section(name, settings)
    given = disturbed(section, activation="tanh")
    given.step()
    r = engine_of(given).disturbed[0] - given.x[0]
    torch.testing.assert_close(r.norm(dim=1), torch.full((9,), section.length(4), dtype=r.dtype))
    if settings.get("norm") == "linf":
        torch.testing.assert_close(r.abs(), torch.full_like(r, section.epsilon))


@pytest.mark.parametrize(("name", "settings"), cases(ADVERSARIAL))
def test_it_hurts_more_than_any_of_many_others_of_its_length(name: str, settings: Settings) -> None:
    """Short enough that first or second order tells the truth."""
    section = adversarial_section(name, {**settings, "epsilon": 1e-3} | ({"iterations": 30} if name == "vat" else {}))
    given = disturbed(section, activation="tanh")
    given.step()
    engine, [module] = engine_of(given), given.modules()
    reference = columns(module(given.x[0])).detach()

    def harm(x: Tensor) -> Tensor:
        outputs = module(x)
        if name == "fgsm":
            return functional.cross_entropy(outputs, given.targets[0], reduction="none")
        p = reference[0].t()
        return functional.kl_div(outputs.log_softmax(1), p.log_softmax(1), reduction="none", log_target=True).sum(1)

    others = torch.randn(200, 9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    lengthened = others.sign() if settings.get("norm") == "linf" else functional.normalize(others, dim=-1)
    ours = harm(engine.disturbed[0])
    for other in lengthened:
        assert bool((ours >= harm(given.x[0] + section.epsilon * other) * (1 - 1e-3)).all())


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_all_passes_of_a_step_have_the_masks_of_the_first(name: str) -> None:
    given = disturbed(adversarial_section(name, {}), activation="dropout", settings={"p": 0.15}, seeds=[6])
    given.parameters.flat.div_(2)  # so that no row is so certain that its differences are all rounding
    engine = engine_of(given)
    engine.start_epoch(5)
    noise = Noise.of(6, 5)
    drawn = torch.Generator().manual_seed(derived_seed(6, "adversarial", 5))
    leaves = {name: view.detach().clone().requires_grad_() for name, view in given.parameters.members[0].items()}
    for _ in range(3):  # steps, whose masks differ
        before = noise.generator.get_state()

        def module(x: Tensor, before: Tensor = before) -> Tensor:
            noise.generator.set_state(before)
            return given.network.forward(leaves, x, mode=TrainingMode(noise))

        engine(*given.batch())
        d = torch.randn(9, 4, generator=drawn).double()
        assert_step_is_as_in_the_paper(engine, given, 0, module, list(leaves.values()), d)


@pytest.mark.parametrize(
    ("name", "settings", "forward", "backward"),
    [("vat", {}, 3, 5 + 3 + 5), ("vat", {"iterations": 2}, 4, 5 + 3 + 3 + 5), ("fgsm", {}, 2, 6 + 5)],
)
def test_no_product_is_made_that_is_not_needed(name: str, settings: Settings, forward: int, backward: int) -> None:
    """Of three layers: the parameters' gradient takes five products, the inputs' alone three, both six."""
    given = disturbed(adversarial_section(name, settings), bias=False)
    with Products() as products:
        given.step()
    assert products.made == {"mm": 3 * forward + backward}


def test_no_direction_where_no_gradient_is() -> None:
    """Of weights that are all 0: VAT moves along the direction it has drawn, FGSM not at all."""
    for name, length in (("vat", 2.1), ("fgsm", 0.0)):
        given = disturbed(adversarial_section(name, {}))
        given.parameters.flat.zero_()
        given.step()
        r = engine_of(given).disturbed[0] - given.x[0]
        torch.testing.assert_close(r.norm(dim=1), torch.full((9,), length, dtype=r.dtype))
        assert bool(given.gradients.flat.isfinite().all())


def test_rows_whose_squares_underflow_have_a_direction() -> None:
    rows = torch.tensor([[3e-30, -4e-30], [3e20, 4e20], [0.0, 0.0]])
    torch.testing.assert_close(
        unit(rows, instead=torch.ones(3, 2)), torch.tensor([[0.6, -0.8], [0.6, 0.8], [1.0, 1.0]])
    )


@pytest.mark.parametrize("loss", ["cross_entropy", "bce"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_divergence(loss: str, reduction: str) -> None:
    """Its gradient against autograd of its value, its value against torch's; both are 0 where nothing differs."""
    divergence = Divergence(catalogue.loss(loss, reduction).section)
    width = LOSSES[loss].outputs(4)
    generator = torch.Generator().manual_seed(0)
    z, reference = (4 * torch.randn(50, width, generator=generator, dtype=torch.float64) for _ in range(2))
    z.requires_grad_()
    (expected,) = torch.autograd.grad(divergence(z, reference), z)
    z = z.detach()
    value = divergence(z, reference)
    gradient = torch.empty(1, width, 50, dtype=torch.float64)
    divergence.write_gradient(columns(z), columns(reference), gradient)
    torch.testing.assert_close(gradient[0].t(), expected, rtol=1e-12, atol=1e-14)
    p, q = (torch.cat([torch.zeros_like(one), one], dim=1) if width == 1 else one for one in (reference, z))
    found = functional.kl_div(q.log_softmax(1), p.softmax(1), reduction="none").sum(1)
    assert float(value) == pytest.approx(float(found.mean() if reduction == "mean" else found.sum()), rel=1e-12)
    assert float(found.min()) > 0
    assert float(divergence(reference, reference)) == 0.0
    divergence.write_gradient(columns(reference), columns(reference), gradient)
    assert not gradient.any()
    assert math.isfinite(float(divergence(1e4 * z, -1e4 * reference)))


@pytest.mark.parametrize("recipe", ["batch, also the outputs, tanh", "batch, gelu, dropout", "everything"])
@pytest.mark.parametrize(("name", "settings"), cases(ADVERSARIAL))
def test_disturbed_passes_have_their_own_statistics_and_leave_the_running_ones(
    name: str, settings: Settings, recipe: str
) -> None:
    network = test_norms.RECIPES[recipe].network()
    section, module = adversarial_section(name, settings), test_norms.Module(test_norms.RECIPES[recipe])
    given = test_norms.made(engine_for(network, section), network, seeds=[4], groups=[1])
    [member], [gradients] = given.parameters.members, given.gradients.members
    with torch.no_grad():
        for key, value in module.tensors().items():
            value.copy_(member[key])
    given.start_epoch(2)
    module.noise.manual_seed(derived_seed(4, "noise", 2))
    drawn = torch.Generator().manual_seed(derived_seed(4, "adversarial", 2))
    row, formula = ADVERSARIAL[name], section.model_dump(exclude={"name", "weight"})
    for n in (8, 3):
        x, labels = test_norms.rows(1, n)
        d = torch.randn(x.shape, generator=drawn).double()
        before = module.noise.get_state()
        given([x], columns(labels))
        outputs = module(x)
        momenta = {norm: norm.momentum for norm in module.modules() if isinstance(norm, nn.BatchNorm1d)}

        def again(x: Tensor, before: Tensor = before, momenta: dict[nn.BatchNorm1d, Any] = momenta) -> Tensor:
            module.noise.set_state(before)
            for norm in momenta:
                norm.momentum = 0.0
            found: Tensor = module(x)
            for norm, momentum in momenta.items():
                norm.momentum = momentum
            return found

        def loss(found: Tensor, labels: Tensor = labels) -> Tensor:
            return functional.cross_entropy(found, labels)

        assert isinstance(given, Adversarial)
        r = given.disturbed[0] - x
        torch.testing.assert_close(r, row.disturbance(again, loss, x, d, **formula), rtol=1e-7, atol=1e-7)
        objective = loss(outputs) + section.weight * row.term(loss, outputs, again(x + r)).mean()
        named = {key: value for key, value in module.tensors().items() if "running" not in key}
        expected = torch.autograd.grad(objective, list(named.values()))
        for (key, _), theirs in zip(named.items(), expected, strict=True):
            torch.testing.assert_close(gradients[key], theirs, rtol=1e-10, atol=1e-12)
        for key, value in module.tensors().items():
            torch.testing.assert_close(member[key], value.detach(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("recipe", ["batch", "layer, also the outputs, silu", "dropout, sigmoid", "everything"])
@pytest.mark.parametrize(("name", "settings"), cases(ADVERSARIAL))
def test_gradcheck_has_the_term_in_its_objective(name: str, settings: Settings, recipe: str) -> None:
    """Gradients agree, by differences too; a wrong weight of the term would be found."""
    network, section = test_norms.RECIPES[recipe].network(), adversarial_section(name, settings)
    x, labels = test_norms.rows(5, 12)

    def check(adversarial: AdversarialSpec | None) -> GradientCheck:
        return check_gradients(
            network,
            loss=catalogue.loss("cross_entropy"),
            parameters=test_norms.weights(network, 2),
            x=x,
            targets=labels,
            generator=torch.Generator().manual_seed(0),
            weight_decay=0.01,
            noise=(3, 1),
            adversarial=adversarial,
        )

    found = check(section)
    assert found.passed is not False, found
    assert sum(one.checked for one in found.parameters) > 40
    twice = check(section.model_copy(update={"weight": 2 * section.weight}))
    assert twice.objective - found.objective == pytest.approx(found.objective - check(None).objective, rel=1e-9)
    assert found.penalty == twice.penalty == check(None).penalty


def test_gradcheck_finds_a_wrong_term(monkeypatch: pytest.MonkeyPatch) -> None:
    backward = Autograd.backward

    def too_small(self: Autograd, upstream: Tensor, **wanted: Any) -> Tensor:
        return backward(self, upstream * (0.999 if wanted.get("add") else 1), **wanted)

    monkeypatch.setattr(Autograd, "backward", too_small)
    network = test_norms.RECIPES["batch"].network()
    x, labels = test_norms.rows(5, 12)
    check = check_gradients(
        network,
        loss=catalogue.loss("cross_entropy"),
        parameters=test_norms.weights(network, 2),
        x=x,
        targets=labels,
        generator=torch.Generator().manual_seed(0),
        adversarial=adversarial_section("vat", {}),
    )
    assert check.passed is False
