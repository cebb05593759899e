import json
from dataclasses import replace
from pathlib import Path

import pytest

from gc2l.cells import Cell, DataConfig, ModelConfig, TrainingConfig

RUNS = Path(__file__).parents[2] / "results" / "runs"
CELL = Cell(model=ModelConfig(variant="gc2l", groups=4))


def with_model(**changes):
    return replace(CELL, model=replace(CELL.model, **changes))


def with_training(**changes):
    return replace(CELL, training=replace(CELL.training, **changes))


SCIENTIFIC_CHANGES = [
    with_model(network="wide_resnet_imagenet"),
    with_model(depth=16),
    with_model(width=8),
    with_model(variant="gc"),
    with_model(groups=8),
    with_model(coarse_channels=2),
    with_model(overlap=0.5),
    replace(CELL, data=DataConfig(name="cifar100")),
    replace(CELL, data=DataConfig(image_size=32)),
    with_training(epochs=201),
    with_training(batch_size=64),
    with_training(learning_rate=0.2),
    with_training(momentum=0.8),
    with_training(weight_decay=0.0),
    with_training(schedule="one_cycle"),
    with_training(milestones=(60, 120)),
    with_training(gamma=0.2),
    with_training(warmup_fraction=0.3),
    replace(CELL, seed=2),
]


def test_the_identity_of_the_default_cell_stays():
    # A change here orphans every record that has been committed.
    assert Cell().identity == "fde1a64f585e"


def test_every_committed_record_has_the_name_that_its_cell_has_today():
    paths = sorted(RUNS.glob("*/*.json"))
    assert paths
    for path in paths:
        parts = json.loads(path.read_text(encoding="utf-8"))["configuration"]
        training = parts["training"] | {"milestones": tuple(parts["training"]["milestones"])}
        cell = Cell(
            model=ModelConfig(**parts["model"]),
            data=DataConfig(**parts["data"]),
            training=TrainingConfig(**training),
            seed=parts["seed"],
        )
        assert path.stem == f"{cell.slug}-{cell.identity}"


def test_every_scientific_field_changes_the_identity():
    assert len({CELL.identity, *(cell.identity for cell in SCIENTIFIC_CHANGES)}) == len(SCIENTIFIC_CHANGES) + 1


def test_the_list_of_changes_above_covers_every_field_of_the_configuration():
    def leaves(values, prefix=""):
        for name, value in values.items():
            yield from leaves(value, f"{name}.") if isinstance(value, dict) else [(prefix + name, value)]

    before = dict(leaves(CELL.configuration()))
    changed = [
        {name for name, value in leaves(cell.configuration()) if value != before.get(name)}
        for cell in SCIENTIFIC_CHANGES
    ]
    assert all(len(names) == 1 for names in changed)
    assert set.union(*changed) == {*before, "model.overlap"}


def test_an_option_is_in_the_configuration_only_where_it_is_not_the_usual():
    """Else the records from before there was such an option would have other identities."""
    assert "overlap" not in with_model(overlap=0).configuration()["model"]
    learnable = with_model(variant="flgc")
    assert with_model(variant="flgc", assignment="learned", start="random").identity == learnable.identity
    for changed in ({"assignment": "frozen"}, {"start": "aligned"}, {"assignment": "frozen", "start": "aligned"}):
        cell = with_model(variant="flgc", **changed)
        assert cell.configuration()["model"] == learnable.configuration()["model"] | changed
        assert cell.identity != learnable.identity
    assert with_model(variant="flgc", **changed).model.options() == changed
    assert CELL.model.options() == {}
    for name, usual, changed in (
        ("coarse_start", "fan_out", "zero"),
        ("restriction", "learned", "mean"),
        ("coarse_level", "all", "3x3"),
    ):
        assert with_model(**{name: usual}).identity == CELL.identity
        found = with_model(**{name: changed}).configuration()["model"]
        assert found == CELL.configuration()["model"] | {name: changed}
    for plain, name, usual, changed in (
        (CELL, "undecayed", "nothing", "coarse_level"),
        (learnable, "undecayed", "nothing", "assignment"),
        (learnable, "assignment_rate", 1, 10),
    ):
        assert replace(plain, training=replace(plain.training, **{name: usual})).identity == plain.identity
        cell = replace(plain, training=replace(plain.training, **{name: changed}))
        assert cell.configuration()["training"] == plain.configuration()["training"] | {name: changed}


def test_root_and_preset_do_not_change_the_identity():
    assert replace(CELL, preset="other").identity == CELL.identity
    assert replace(CELL, data=DataConfig(root=Path("/elsewhere"))).identity == CELL.identity


def test_whole_numbers_and_floats_are_one_value():
    assert with_model(width=10).identity == with_model(width=10.0).identity
    assert with_training(weight_decay=0).identity == with_training(weight_decay=0.0).identity
    assert with_training(learning_rate=1).identity == with_training(learning_rate=1.0).identity


def test_slugs_name_the_run():
    assert CELL.slug == "cifar10-wide_resnet_cifar-28x10-gc2l-n4-seed1"
    assert with_model(coarse_channels=2).slug == "cifar10-wide_resnet_cifar-28x10-gc2l-m2-n4-seed1"
    assert with_model(coarse_channels=2, overlap=0.25).slug.endswith("-28x10-gc2l-m2-overlap0.25-n4-seed1")
    assert with_model(restriction="mean", coarse_level="1x1").slug.endswith("-gc2l-mean-coarse1x1-n4-seed1")
    frozen = with_model(variant="flgc", assignment="frozen", start="aligned")
    assert frozen.slug.endswith("-28x10-flgc-frozen-aligned-n4-seed1")
    mobile = ModelConfig(network="mobilenet_v2", depth=None, width=0.25)
    assert Cell(model=mobile, seed=3).slug == "cifar10-mobilenet_v2-0.25-sc-n1-seed3"


@pytest.mark.parametrize(
    ("config", "values", "message"),
    [
        (ModelConfig, {"network": "alexnet"}, r"model\.network='alexnet'.*'mobilenet_v2'"),
        (ModelConfig, {"variant": "dense"}, r"variant='dense'.*'gc2l'"),
        (ModelConfig, {"variant": "sc", "groups": 2}, "groups=2"),
        (ModelConfig, {"variant": "gc", "groups": 0}, "groups=0"),
        (ModelConfig, {"variant": "gc", "groups": "2"}, r"model\.groups='2'"),
        (ModelConfig, {"depth": None}, r"model\.depth=None"),
        (ModelConfig, {"network": "mobilenet_v2"}, r"model\.depth=28"),
        (ModelConfig, {"depth": 28.0}, r"model\.depth=28\.0"),
        (ModelConfig, {"width": 0}, r"model\.width=0"),
        (ModelConfig, {"width": float("nan")}, r"model\.width=nan"),
        (ModelConfig, {"coarse_channels": 2}, r"model\.coarse_channels=2.*only 'gc2l'"),
        (ModelConfig, {"variant": "gc2l", "coarse_channels": 0}, r"model\.coarse_channels=0 must be at least 1"),
        (ModelConfig, {"overlap": 0.5}, r"model\.overlap=0\.5.*only 'gc2l', 'scc'"),
        (ModelConfig, {"variant": "scc", "overlap": 1.0}, r"model\.overlap=1\.0 must be at least 0"),
        (ModelConfig, {"variant": "scc", "overlap": "0.5"}, r"model\.overlap='0\.5'"),
        (ModelConfig, {"variant": "flgc", "start": "even"}, r"model\.start='even'"),
        (ModelConfig, {"coarse_start": "ones"}, r"model\.coarse_start='ones'"),
        (ModelConfig, {"coarse_start": "zero"}, r"model\.coarse_start='zero'.*only 'gc2l'"),
        (ModelConfig, {"restriction": "mean"}, r"model\.restriction='mean'.*only 'gc2l'"),
        (ModelConfig, {"variant": "gc2l", "restriction": "mean", "coarse_channels": 2}, "coarse_channels=2.*must be 1"),
        (ModelConfig, {"variant": "gc2l", "coarse_level": "5x5"}, r"model\.coarse_level='5x5'.*'3x3'"),
        (ModelConfig, {"variant": "gc", "coarse_level": "3x3"}, r"model\.coarse_level='3x3'.*'gc'.*it is 'all'"),
        (
            ModelConfig,
            {"network": "mobilenet_v2", "depth": None, "variant": "gc2l", "coarse_level": "1x1"},
            r"model\.coarse_level='1x1' with model\.network='mobilenet_v2'",
        ),
        (TrainingConfig, {"undecayed": "bias"}, r"training\.undecayed='bias'"),
        (TrainingConfig, {"assignment_rate": -1.0}, r"training\.assignment_rate=-1\.0"),
        (ModelConfig, {"assignment": "frozen"}, r"model\.assignment='frozen'.*only 'flgc'"),
        (DataConfig, {"name": "mnist"}, r"data\.name='mnist'.*'digits'"),
        (DataConfig, {"image_size": 0}, r"data\.image_size=0"),
        (DataConfig, {"image_size": "32"}, r"data\.image_size='32'"),
        (TrainingConfig, {"epochs": 0}, r"training\.epochs=0"),
        (TrainingConfig, {"epochs": 10.0}, r"training\.epochs=10\.0"),
        (TrainingConfig, {"batch_size": 0}, r"training\.batch_size=0"),
        (TrainingConfig, {"learning_rate": 0}, r"training\.learning_rate=0"),
        (TrainingConfig, {"learning_rate": "0.1"}, r"training\.learning_rate='0\.1'"),
        (TrainingConfig, {"momentum": -0.1}, r"training\.momentum=-0\.1"),
        (TrainingConfig, {"weight_decay": float("inf")}, r"training\.weight_decay=inf"),
        (TrainingConfig, {"schedule": "cosine"}, r"training\.schedule='cosine'"),
        (TrainingConfig, {"milestones": (60, "120")}, r"training\.milestones='120'"),
        (TrainingConfig, {"warmup_fraction": 1}, r"training\.warmup_fraction=1"),
        (TrainingConfig, {"milestones": (60, 60)}, r"training\.milestones=\(60, 60\)"),
        (TrainingConfig, {"milestones": (0, 60)}, r"training\.milestones=\(0, 60\)"),
        (TrainingConfig, {"gamma": -1.0}, r"training\.gamma=-1\.0"),
        (TrainingConfig, {"momentum": 1}, r"training\.momentum=1"),
        (Cell, {"seed": -1}, "seed=-1"),
        (Cell, {"seed": 2**62 + 1}, f"seed={2**62 + 1} must be a whole number from 0 to {2**62}$"),
        (Cell, {"seed": True}, "seed=True"),
        (Cell, {"training": TrainingConfig(undecayed="coarse_level")}, r"undecayed='coarse_level'.*'sc'.*no coarse"),
        (Cell, {"training": TrainingConfig(undecayed="assignment")}, r"undecayed='assignment'.*'sc': only 'flgc'"),
        (Cell, {"training": TrainingConfig(assignment_rate=2)}, r"assignment_rate=2.*'sc': only 'flgc'"),
    ],
)
def test_bad_values_are_named(config, values, message):
    with pytest.raises(ValueError, match=message):
        config(**values)
