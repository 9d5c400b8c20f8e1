"""params.yaml: every wrong key is named, with what was given and what is allowed."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.core.errors import ParameterError
from pipeline.core.parameters import load
from tests.imports import ROOT

START = {"from": "champion", "freeze": [], "learning_rate_factor": 0.1, "margin": 0.002, "draws": 1000}
SHIPPED = yaml.safe_load((ROOT / "params.yaml").read_text())


def changed(folder: Path, *keys: str, to: Any) -> Path:
    content = copy.deepcopy(SHIPPED)
    section = content["projects"]["digits"]
    for key in keys[:-1]:
        section = section[int(key)] if isinstance(section, list) else section[key]
    if to is KeyError:
        del section[keys[-1]]
    else:
        section[keys[-1]] = to
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("project", SHIPPED["projects"])
def test_the_shipped_parameters_are_valid(project: str) -> None:
    assert load(ROOT / "params.yaml", project).section("task") == SHIPPED["projects"][project]["task"]


@pytest.mark.parametrize(
    ("keys", "value", "told"),
    [
        (["train", "epochs"], 0, ["projects.digits.train.epochs", "0", "greater than or equal to 1"]),
        (["train", "epochs"], "many", ["projects.digits.train.epochs", "'many'", "integer"]),
        (["train", "learning_rate"], float("nan"), ["train.learning_rate", "nan"]),
        (["train", "learning_rate"], KeyError, ["train.learning_rate", "missing"]),
        (["train", "lr"], 0.1, ["train.lr", "unknown key", "learning_rate"]),
        (
            ["train", "precision"],
            "float8",
            ["train.precision", "'float8'", "'auto', 'float32'"],
        ),
        (["deploy", "container", "replicas"], 2, ["deploy.container", "2 replicas", "database_secret"]),
        (["deploy", "container", "cpu_cores"], 3, ["deploy.container", "cpu_cores_max 2"]),
        (["deploy", "container", "memory_mib"], 256, ["deploy", "memory_mib 256", "would be killed"]),
        (["deploy", "container", "registry"], "here/", ["deploy.container.registry", "'here/'", "pattern"]),
        (["train", "hardware", "devices"], 0, ["train.hardware.devices", "0", "greater than or equal to 1"]),
        (["train", "hardware", "strategy"], "fsdp", ["train.hardware.strategy", "'auto' or 'ddp'"]),
        (["train", "start"], START | {"from": "../x"}, ["train.start.from", "'../x'", "pattern"]),
        (
            ["train", "start"],
            START | {"form": 1},
            ["train.start.form", "unknown key", "(did you mean 'from'?)"],
        ),
        (["train", "network", "blocks"], [1], ["train.network", "one entry for each stage"]),
        (["train", "network", "name"], "resnot", ["train.network", "'resnot'", "'mlp'", "'resnet'"]),
        (["train", "optimiser", "momentum"], 1, ["train.optimiser.momentum", "less than 1"]),
        (["train", "optimiser", "momentum"], 0, ["train.optimiser", "nesterov needs a momentum"]),
        (["train", "schedule", "milestones"], [0.5], ["train.schedule.milestones", "unknown key"]),
        (["train", "augmentation", "scale_range"], [1.2, 0.8], ["train.augmentation", "smallest <= largest"]),
        (["collect", "classes"], ["a", "a"], ["projects.digits.collect", "classes must differ"]),
        (["collect", "sources", "0", "sha256"], "123", ["collect.sources.0.sha256", "'123'"]),
        (["collect", "sources", "0", "kind"], "ftp", ["collect.sources.0", "'ftp'"]),
        (["goals", "accuracy_min"], 1.2, ["goals.accuracy_min", "1.2", "less than or equal to 1"]),
        (["task"], "mind_reading", ["projects.digits.task", "'mind_reading'", "image_classification"]),
        (["label", "annotations"], "/elsewhere/p.csv", ["label.annotations", "/elsewhere/p.csv", "labels/"]),
        (["label", "policy", "min_agreement"], 2, ["label.policy.min_agreement", "less than or equal to 1"]),
        (["serve", "proxies"], ["my-proxy"], ["serve.proxies", "my-proxy", "IPv4 or IPv6 network"]),
        (["serve", "rate"], {"per_second": 0, "burst": 1, "clients_max": 1}, ["serve.rate.per_second", "0"]),
        (["serve", "rate"], {"per_second": 1, "burst": 1}, ["serve.rate.clients_max", "missing"]),
        (["serve", "retention_days"], 0, ["serve.retention_days", "0", "greater than or equal to 1"]),
        (["serve", "capture"], {"share": 2, "confidence_below": 0}, ["serve.capture.share", "2"]),
        (["serve", "requests", "pictures"], KeyError, ["serve.requests.pictures", "missing"]),
        (["surprise"], 1, ["projects.digits.surprise", "unknown key"]),
        (["validate"], KeyError, ["projects.digits.validate", "missing"]),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, keys: list[str], value: Any, told: list[str]) -> None:
    with pytest.raises(ParameterError) as caught:
        load(changed(tmp_path, *keys, to=value), "digits")
    for words in ["params.yaml", *told]:
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (["columns", "custmer"], "sources.0.columns.custmer: unknown key (did you mean 'customer'?)"),
        (["columns", "customer"], "sources.0.columns.customer: 3 is not allowed"),
        (["event"], "sources.0.event: 3 is not allowed: Input should be 'view', 'cart', 'purchase'"),
        (["table"], "sources.0: "),
    ],
)
def test_a_wrong_key_of_a_table_is_named_as_params_yaml_spells_it(
    tmp_path: Path, place: list[str], told: str
) -> None:
    content = copy.deepcopy(SHIPPED)
    source = content["projects"]["retail"]["collect"]["sources"][0]
    (source[place[0]] if len(place) > 1 else source)[place[-1]] = 3
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ParameterError) as caught:
        load(tmp_path / "params.yaml", "retail")
    assert f"params.yaml: projects.retail.collect.{told}" in str(caught.value)


def test_an_unknown_project_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"no project 'digit' \(did you mean 'digits'\?\)"):
        load(ROOT / "params.yaml", "digit")


@pytest.mark.parametrize("text", ["", "projects: []", "projects: {}", "other: 1"])
def test_no_projects(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParameterError, match="must be a mapping"):
        load(tmp_path / "params.yaml", "digits")


def test_broken_yaml_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="not found"):
        load(tmp_path / "params.yaml", "digits")
    (tmp_path / "params.yaml").write_text("projects: {digits: [")
    with pytest.raises(ParameterError, match="not valid YAML"):
        load(tmp_path / "params.yaml", "digits")


def test_a_section_with_a_scalar_instead_of_a_mapping(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"projects\.digits\.task"):
        (tmp_path / "params.yaml").write_text("projects: {digits: 3}")
        load(tmp_path / "params.yaml", "digits")
