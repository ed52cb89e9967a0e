"""The files for monitoring systems name only metrics and labels that Hashwacht has."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
MONITORING = ROOT / "packaging" / "monitoring"
FILES = ("prometheus-rules.yml", "grafana-dashboard.json", "zabbix-template.yaml")

_ROW = re.compile(r"^\| `(hashwacht_\w+)(?:\{(\w+)\})?` \| (\w+)", re.MULTILINE)
_USE = re.compile(r"(?<![\w/-])(hashwacht_\w+)(?:\{([^}#]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*=~?\s*\\?"([^"\\]*)')
_FOREIGN_LABELS = {"instance"}
"""Added by Prometheus."""


def documented() -> dict[str, tuple[str, str]]:
    """Return label and type of each metric by name; the table agrees with the real page."""
    rows = _ROW.findall((ROOT / "docs" / "daemon.md").read_text())
    return {name: (label, kind) for name, label, kind in rows}


@pytest.mark.parametrize("name", FILES)
def test_only_existing_metrics_and_labels_are_used(name: str) -> None:
    metrics, text = documented(), (MONITORING / name).read_text()
    uses = _USE.findall(text)
    assert len({metric for metric, _ in uses}) > 10
    for metric, matchers in uses:
        label, _ = metrics[re.sub(r"_bucket$", "", metric)]
        labels = {used for used, _ in _MATCHER.findall(matchers)} - _FOREIGN_LABELS
        assert labels <= {label}, metric


def test_every_alert_says_what_to_do() -> None:
    (group,) = yaml.safe_load((MONITORING / "prometheus-rules.yml").read_text())["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
    described = (ROOT / "docs" / "monitoring.md").read_text()
    for rule in group["rules"]:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "description"}
        assert f"`{rule['alert']}`" in described


def test_every_panel_has_a_query_and_a_place() -> None:
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    places = set()
    for panel in dashboard["panels"]:
        assert panel["title"]
        assert all(target["expr"] for target in panel["targets"])
        place = panel["gridPos"]
        places.add((place["x"], place["y"]))
        assert place["x"] + place["w"] <= 24
    assert len(places) == len(dashboard["panels"]) == 16


def test_the_template_of_zabbix_is_consistent() -> None:
    text = (MONITORING / "zabbix-template.yaml").read_text()
    (template,) = yaml.safe_load(text)["zabbix_export"]["templates"]
    identifiers = re.findall(r"uuid: (\w+)", text)
    assert len(set(identifiers)) == len(identifiers)
    assert {uuid.UUID(identifier).version for identifier in identifiers} == {4}
    items = [*template["items"]]
    for rule in template["discovery_rules"]:
        items += [rule, *rule["item_prototypes"]]
    (master,) = (item["key"] for item in items if item.get("type") != "DEPENDENT")
    assert {item["master_item"]["key"] for item in items if "master_item" in item} == {master}
    for item in items:
        for trigger in (*item.get("triggers", ()), *item.get("trigger_prototypes", ())):
            assert f"/{template['template']}/{item['key']}" in trigger["expression"]
