"""Prometheus itself judges our metrics page and our alert rules.

``make test-packages`` runs this; promtool is in Debian's package ``prometheus``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from hashwacht.daemon.status.metrics import render_metrics
from hashwacht.daemon.status.status import read_status
from hashwacht.settings import load
from support.program import Program

RULES = Path(__file__).parents[2] / "packaging" / "monitoring" / "prometheus-rules.yml"

HEALTHY = {
    'hashwacht_build_info{version="1.0"}': "1x100",
    'hashwacht_protection{state="protected"}': "1x100",
    'hashwacht_protection{state="not-protected"}': "0x100",
    'hashwacht_protection{state="degraded"}': "0x100",
    "hashwacht_scanner_up": "1x100",
    'hashwacht_root_watched{root="web"}': "1x100",
    'hashwacht_root_last_canary_timestamp_seconds{root="web"}': "0+60x100",
    'hashwacht_oldest_open_gap_age_seconds{root="web"}': "0x100",
    "hashwacht_audit_entries_total": "10+1x100",
    'hashwacht_matcher_up{matcher="eokm"}': "1x100",
    "hashwacht_action_failures_total": "0x100",
    "hashwacht_action_limits_active": "0x100",
    'hashwacht_alerts_lost{channel="mail"}': "0x100",
}
"""One sample a minute for 100 minutes."""


@pytest.fixture(autouse=True)
def promtool() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")


def test_the_rules_are_valid() -> None:
    subprocess.run(["promtool", "check", "rules", RULES], check=True)


def test_the_metrics_page_is_valid(program: Program) -> None:
    environ = {"HASHWACHT_STATE_DIR": str(program.home / "state")}
    settings = load(environ, uid=os.geteuid(), file=program.configuration).settings
    page = render_metrics(lambda: read_status(settings, time.time()))
    subprocess.run(["promtool", "check", "metrics"], input=page, check=True)


@pytest.mark.parametrize(
    ("series", "values", "alert"),
    [
        ("hashwacht_scanner_up", "1x100", None),
        ("hashwacht_scanner_up", "1x90 0x10", "HashwachtScannerDown"),
        ('hashwacht_build_info{version="1.0"}', "1x80 _x20", "HashwachtMetricsMissing"),
        ('hashwacht_protection{state="not-protected"}', "0x90 1x10", "HashwachtNotProtected"),
        ('hashwacht_protection{state="degraded"}', "0x50 1x50", "HashwachtDegraded"),
        ('hashwacht_root_watched{root="web"}', "1x80 0x20", "HashwachtRootNotWatched"),
        (
            'hashwacht_root_last_canary_timestamp_seconds{root="web"}',
            "0+60x70 4200x30",
            "HashwachtCanaryOverdue",
        ),
        ('hashwacht_oldest_open_gap_age_seconds{root="web"}', "30000x100", "HashwachtGapOpen"),
        ("hashwacht_audit_entries_total", "10+1x90 5x10", "HashwachtAuditLogShrunk"),
        ('hashwacht_matcher_up{matcher="eokm"}', "1x60 0x40", "HashwachtMatcherDown"),
        ("hashwacht_action_failures_total", "0x90 1x10", "HashwachtActionFailed"),
        ("hashwacht_action_limits_active", "0x90 1x10", "HashwachtActionLimitReached"),
        ('hashwacht_alerts_lost{channel="mail"}', "0x60 1x40", "HashwachtAlertsNotDelivered"),
    ],
)
def test_an_alert_fires_for_its_cause_alone(
    tmp_path: Path, series: str, values: str, alert: str | None
) -> None:
    samples = [
        {"series": name, "values": value} for name, value in {**HEALTHY, series: values}.items()
    ]
    count = f'count(ALERTS{{alertstate="firing", alertname="{alert}"}})'
    others = f'count(ALERTS{{alertstate="firing", alertname!="{alert}"}})'
    one = [{"labels": "{}", "value": 1}]
    tests = [
        {"expr": count, "eval_time": "99m", "exp_samples": one if alert else []},
        {"expr": others, "eval_time": "99m", "exp_samples": []},
    ]
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": samples, "promql_expr_test": tests}],
    }
    path = tmp_path / "test.yml"
    path.write_text(json.dumps(document))  # JSON is YAML
    process = subprocess.run(
        ["promtool", "test", "rules", path], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stdout + process.stderr
