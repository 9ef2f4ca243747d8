"""``/metrics``: who may read it, and that nothing of a patient is in it."""

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from carina.service.site_folder import Site
from carina.service.web.app import build_app
from clinic import BASE, Clinic


def with_setting(clinic: Clinic, who: str) -> TestClient:
    settings = clinic.site.settings.model_copy(update={"metrics": who})
    site = Site(clinic.site.folder, settings, clinic.site.engine, clinic.site.store)
    return TestClient(build_app(site), base_url=BASE)


def test_metrics_are_for_a_token_with_the_scope_unless_the_setting_says_otherwise(clinic: Clinic) -> None:
    browser = clinic.client("anna")
    assert browser.get("/metrics").status_code == 401
    assert browser.get("/metrics", headers=clinic.token("worklist")).status_code == 403
    assert browser.get("/metrics", headers=clinic.token("metrics")).status_code == 200
    assert with_setting(clinic, "anybody").get("/metrics").status_code == 200
    assert with_setting(clinic, "off").get("/metrics", headers=clinic.token("metrics")).status_code == 404


def test_metrics_count_what_the_site_has_and_name_no_patient(clinic: Clinic) -> None:
    clinic.add_study("routine", 0.1, PatientName="Planted^Secret", PatientID="PLANTED-1", Manufacturer="PlantedMaker")
    text = clinic.client().get("/metrics", headers=clinic.token("metrics")).text
    assert "lanted" not in text
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["carina_images", "judged"] >= 1
    assert samples["carina_judgements", "routine"] >= 1
    assert samples["carina_live",] == 0
    assert samples["carina_disk_free_bytes",] > 0
    assert samples["process_resident_memory_bytes",] > 0


@pytest.mark.parametrize("name", ["carina_oldest_waiting_seconds", "carina_open_alerts", "carina_problems"])
def test_each_number_says_what_it_is(clinic: Clinic, name: str) -> None:
    text = clinic.client().get("/metrics", headers=clinic.token("metrics")).text
    assert f"# HELP {name} " in text
